"""Where the time of a call goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

from vecgate_server.encoders.base import EncodeTimings

NOTHING_ENCODED = EncodeTimings()
MOST_PARTS = 256
"""Of one call's trace. A stream may have millions of batches."""


class Part(NamedTuple):
    """A stretch of a call's time: nanoseconds since the epoch, and what is known of it beside."""

    name: str
    begin_ns: int
    end_ns: int
    attributes: dict[str, str]


class CallClock:
    """Adds up where the time of one call goes; starts when it is made. All durations in nanoseconds.

    Attributes:
        encoding: of the texts of the call. reranking: of its pairs.
        backend_ns: in which a backend worked for it; of operations side by side the sum.
        plan: how a search was done, if that is known.
        parts_left_out: how many parts of its trace there were beyond MOST_PARTS.
    """

    __slots__ = ("_epoch_ns", "_parts", "_started", "backend_ns", "encoding", "parts_left_out", "plan", "reranking")

    def __init__(self) -> None:
        self._started = time.perf_counter_ns()
        self._epoch_ns = 0
        self._parts: list[Part] | None = None
        self.backend_ns = 0
        self.encoding = NOTHING_ENCODED
        self.reranking = NOTHING_ENCODED
        self.plan = ""
        self.parts_left_out = 0

    @property
    def total_ns(self) -> int:
        """Since the clock was made."""
        return time.perf_counter_ns() - self._started

    @property
    def parts(self) -> Sequence[Part]:
        """What was noted since trace(); nothing without it."""
        return self._parts or ()

    def trace(self) -> None:
        """Note from now on when each part began and ended."""
        self._epoch_ns = time.time_ns() - self.total_ns
        self._parts = []

    def encoded(self, timings: EncodeTimings) -> None:
        """Count an encoding that has just ended."""
        self.encoding = _sum(self.encoding, timings)
        self._note_encoding(timings, "encode")

    def reranked(self, timings: EncodeTimings) -> None:
        """Count a scoring of pairs that has just ended."""
        self.reranking = _sum(self.reranking, timings)
        self._note_encoding(timings, "rerank")

    def backend_worked(self, backend: str, operation: str, began: int, ended: int) -> None:
        """Count an operation of a backend, from one reading of time.perf_counter_ns() to another."""
        self.backend_ns += ended - began
        if self._parts is not None:
            self._note("backend", began, ended, {"vecgate.backend": backend, "vecgate.operation": operation})

    def _note_encoding(self, timings: EncodeTimings, name: str) -> None:
        """Lay the parts of an encoding one behind the other: parts of many texts take turns, of which the sums are known."""
        if self._parts is None:
            return
        end = time.perf_counter_ns()
        for part, duration in (
            (name, timings.encode_ns),
            ("queue", timings.queue_ns),
            ("tokenize", timings.tokenize_ns),
        ):
            if duration > 0:
                self._note(part, end - duration, end, {})
                end -= duration

    def _note(self, name: str, began: int, ended: int, attributes: dict[str, str]) -> None:
        if self._parts is None:
            return
        if len(self._parts) == MOST_PARTS:
            self.parts_left_out += 1
            return
        to_epoch = self._epoch_ns - self._started
        self._parts.append(Part(name, began + to_epoch, ended + to_epoch, attributes))


_clock: ContextVar[CallClock | None] = ContextVar("call_clock", default=None)


def begin_clock() -> CallClock:
    """Start the clock of the call that is being answered from here on."""
    clock = CallClock()
    _clock.set(clock)
    return clock


def call_clock() -> CallClock:
    """Return the clock of the call that is being answered; one of its own to whoever answers none."""
    return _clock.get() or CallClock()


def clock_under_way() -> CallClock | None:
    """Return the clock of the call that is being answered, if one is."""
    return _clock.get()


def _sum(one: EncodeTimings, other: EncodeTimings) -> EncodeTimings:
    return EncodeTimings(
        queue_ns=one.queue_ns + other.queue_ns,
        tokenize_ns=one.tokenize_ns + other.tokenize_ns,
        encode_ns=one.encode_ns + other.encode_ns,
    )
