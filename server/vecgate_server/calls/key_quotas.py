"""Quotas per API key: calls at once, streams, requests a second, tokens a second. Callers without a key share one allotment.

The figures are those of this process: each replica, and each worker process of one, counts for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from typing_extensions import override

from vecgate_server.calls.allotment import Allotment
from vecgate_server.calls.caller import Caller
from vecgate_server.calls.quotas import Quotas, Turn
from vecgate_server.calls.token_bucket import TokenBucket
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.token_allowance import TokenAllowance, token_allowance
from vecgate_server.errors import (
    KeyCallsExceededError,
    KeyRateExceededError,
    KeyTokensExceededError,
    TooManyStreamsError,
)

RETRY_SECONDS = 1.0
"""When to come back for a place; nobody knows when one is free."""


@dataclass(slots=True)
class _Usage:
    """What the callers with one key use now; there are as many of these as keys were seen.

    Attributes:
        caller, allotment: whoever came last, and what that one may use.
    """

    caller: Caller
    allotment: Allotment
    requests: TokenBucket
    tokens: TokenBucket
    held: dict[str, int] = field(default_factory=lambda: {"calls": 0, "streams": 0})

    def allot(self, caller: Caller, allotment: Allotment) -> None:
        """Follow what a caller may use: the entry of a key may change while the server runs."""
        self.caller, self.allotment = caller, allotment
        self.requests.set_rate(allotment.requests_per_second)
        self.tokens.set_rate(allotment.tokens_per_second)


class KeyQuotas(Quotas):
    """Counts by key. A place that is held counts against the key until the call ends; rates are token buckets."""

    def __init__(self, limits: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing used.

        Args:
            limits: what a key without figures of its own may use, and the burst of all.
            clock: monotonic seconds.
        """
        self._limits = limits
        self._clock = clock
        self._usages: dict[str, _Usage] = {}

    @override
    def call(self, caller: Caller) -> AbstractContextManager[object]:
        """Hold one place for the duration of a call.

        Raises:
            KeyCallsExceededError, KeyRateExceededError: on entering: the key has too many calls in hand, or made too many of late.
        """
        return self._admitted(caller, "calls", once=True)

    @override
    @contextmanager
    def stream(self, caller: Caller) -> Iterator[Turn]:
        """Hold one place for the duration of a stream; it is read no faster than its key may make requests.

        Raises:
            TooManyStreamsError, KeyRateExceededError: the key has too many streams open, or made too many requests of late.
        """
        with self._admitted(caller, "streams", once=False) as usage:
            yield partial(_turn, usage.requests)

    @contextmanager
    def _admitted(self, caller: Caller, kind: str, *, once: bool) -> Iterator[_Usage]:
        usage = self._usage(caller)
        _refuse_place(caller, kind, getattr(usage.allotment, kind), usage)
        if usage.requests.seconds_until(1):
            raise KeyRateExceededError(
                f"{_who(caller)} may make {usage.allotment.requests_per_second:g} requests a second "
                f"({_name('requests_per_second', caller.requests_per_second)})",
                retry_after=usage.requests.promise(),
            )
        usage.requests.take(1)
        usage.held[kind] += 1
        token = token_allowance.set(_CallTokens(caller, usage.tokens, once=once) if usage.tokens.rate else None)
        try:
            yield usage
        finally:
            token_allowance.reset(token)
            usage.held[kind] -= 1

    def _usage(self, caller: Caller) -> _Usage:
        usage = self._usages.get(caller.key)
        if usage is not None and usage.caller is caller:
            return usage
        allotment = Allotment.of(caller, self._limits)
        if usage is None:
            burst = self._limits.burst_seconds
            usage = _Usage(caller, allotment, TokenBucket(burst, self._clock), TokenBucket(burst, self._clock))
            self._usages[caller.key] = usage
        usage.allot(caller, allotment)
        return usage


class _CallTokens(TokenAllowance):
    """The tokens of one call.

    Whoever is not in debt is let in, with however many tokens: a call that needs more than a full bucket would never be otherwise. A call
    that was let in once is not refused halfway; a stream asks for each of its batches.
    """

    def __init__(self, caller: Caller, bucket: TokenBucket, *, once: bool) -> None:
        self._caller = caller
        self._bucket = bucket
        self._once = once
        self._admitted = False

    @override
    def admit(self, tokens: int) -> None:
        if not self._admitted and (wait := self._bucket.seconds_until(1)):
            raise KeyTokensExceededError(
                f"{_who(self._caller)} may have models read {self._bucket.rate:g} tokens a second "
                f"({_name('tokens_per_second', self._caller.tokens_per_second)}) and has used those of the next {wait:.3g} s",
                retry_after=wait,
            )
        self._admitted = self._once
        self._bucket.take(tokens)

    @override
    def charge(self, tokens: int) -> None:
        self._bucket.take(tokens)


async def _turn(requests: TokenBucket) -> None:
    """Wait until a request may be made, and take it; another stream of the same key may be faster."""
    while True:
        wait = requests.seconds_until(1)
        if not wait:
            break
        await asyncio.sleep(wait)
    requests.take(1)


def _refuse_place(caller: Caller, kind: str, most: int, usage: _Usage) -> None:
    if not most or usage.held[kind] < most:
        return
    if kind == "streams":
        raise TooManyStreamsError(
            f"{_who(caller)} has {usage.held[kind]} streams open; limits.max_streams_per_key is {most}",
            retry_after=RETRY_SECONDS,
        )
    raise KeyCallsExceededError(
        f"{_who(caller)} has {usage.held[kind]} calls in hand; {_name('max_calls', caller.max_calls)} is {most}",
        retry_after=RETRY_SECONDS,
    )


def _who(caller: Caller) -> str:
    return f"key {caller.key}" if caller.key else "whoever calls without a key"


def _name(figure: str, own: float | None) -> str:
    """Name where a figure is set."""
    return f"limits.{figure}_per_key" if own is None else f"{figure} of the key"
