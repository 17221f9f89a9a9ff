"""How a client reaches a server: target, default deadlines, keepalive, message sizes and retries.

open_channel and open_async_channel are the only places that make a channel.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from vecgate.errors import InvalidArgumentError, TlsError, VecgateError
from vecgate.security import ChannelSecurity

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub, VectorSearchServiceStub

Stub: TypeAlias = "VectorSearchServiceStub"
AsyncStub: TypeAlias = "VectorSearchServiceAsyncStub"
"""The methods of the service over a channel; the second has a name in the type stubs alone."""

DEFAULT_TARGET = "localhost:50051"
"""Where `vecgate-server` listens unless told otherwise."""

KEEPALIVE_MS = 30_000
"""Pings while a call waits, so that a dead connection is noticed; the server allows one every 10 s."""

PING_TIMEOUT_MS = 10_000
"""How long an answer to a ping may take before the connection counts as dead; gRPC's own bound is a minute."""

INITIAL_RECONNECT_MS = 100
MAX_RECONNECT_MS = 2_000
"""Pauses between two attempts to reach a server that is down, growing from the first to the second."""

MIN_RESOLUTION_MS = 2_000
"""A name is asked for its addresses again when one of them is lost, but not more often; gRPC's own bound is 30 s, which
would be the outage when all servers were replaced."""

MAX_ATTEMPTS = 4
INITIAL_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
BACKOFF_MULTIPLIER = 2.0

UNTOUCHED_REASONS = frozenset({"STARTING", "SHUTTING_DOWN"})
"""Reasons of UNAVAILABLE that are told before a request is looked at, so that it had no effect."""

PASSED_LIMIT = frozenset({"LIMIT_EXCEEDED", "REQUEST_TOO_LARGE"})
"""Reasons after which a server's limits are not what they were, or the caller asked for more than they are."""

LARGEST_PORT = 65_535
_PORT = re.compile(r"(?!unix|vsock).*:(\d+)")  # these have paths and larger numbers

SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
"""gRPC service config (grpc/grpc-proto, service_config.proto). It has no retryPolicy: gRPC's own retries know nothing of
RetryInfo, so the client makes them (pause_before_retry)."""

CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    # The server bounds messages (Limits.max_message_bytes); a second bound here could only disagree.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    # The second bounds the answer to a ping, the first what the operating system may leave unacknowledged.
    ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    # gRPC would stop pinging after two pings without data between them, as in a call that takes long.
    ("grpc.http2.max_pings_without_data", 0),
    # Only what never left this machine, or what the server never looked at, is sent again by gRPC itself.
    ("grpc.enable_retries", 1),
    # gRPC would stay away for up to 2 minutes from a server that was down for a while, though it is back.
    ("grpc.initial_reconnect_backoff_ms", INITIAL_RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_MS),
    # Connections of its own: a child after a fork would otherwise take its parent's for its new client.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.dns_min_time_between_resolutions_ms", MIN_RESOLUTION_MS),
    ("grpc.service_config", SERVICE_CONFIG),
)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a request may take by default; every method takes a `timeout` of its own.

    Attributes:
        read: searches and reads, including the load of a model at its first use.
        bulk: requests that encode or write many items: encode, upsert, search_batch, delete, update_metadata.
        admin: making and deleting collections.
    """

    read: float = 30.0
    bulk: float = 120.0
    admin: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            check_timeout(getattr(self, name), f"deadlines.{name}")


def check_timeout(seconds: float, argument: str = "timeout") -> float:
    """Return a timeout that is usable.

    Raises:
        InvalidArgumentError: it is not positive and finite.
    """
    if not 0 < seconds < float("inf"):
        raise InvalidArgumentError.at(argument, f"{seconds} is not a positive number of seconds")
    return seconds


def check_target(target: str) -> str:
    """Return a target that names an address.

    Raises:
        InvalidArgumentError: it is empty, the address of a web page, or has a port that there cannot be.
    """
    if not target:
        raise InvalidArgumentError.at("target", f"expected host:port, got {target!r}")
    if target.startswith(("http://", "https://")):
        raise InvalidArgumentError.at("target", f"expected host:port without http, got {target!r}")
    port = _PORT.fullmatch(target)
    if port and int(port[1]) > LARGEST_PORT:
        # gRPC would take it modulo 65,536.
        raise InvalidArgumentError.at("target", f"expected a port of at most {LARGEST_PORT}, got {target!r}")
    return target


def check_async_target(target: str) -> str:
    """Check a target for a channel of the running event loop.

    Raises:
        InvalidArgumentError: as check_target.
        RuntimeError: no event loop runs.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("make an AsyncClient inside a coroutine: it belongs to the running event loop") from None
    return check_target(target)


def open_channel(target: str, security: ChannelSecurity) -> grpc.Channel:
    """Open a blocking channel; it connects at the first call."""
    options = (*CHANNEL_OPTIONS, *security.options)
    if security.credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, security.credentials, options)


def open_async_channel(target: str, security: ChannelSecurity) -> grpc.aio.Channel:
    """Open a channel of the running event loop; it connects at the first call."""
    options = (*CHANNEL_OPTIONS, *security.options)
    if security.credentials is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, security.credentials, options)


def pauses(
    random_fraction: Callable[[], float] = random.random, *, attempts: int | None = MAX_ATTEMPTS - 1
) -> Iterator[float]:
    """Yield the seconds to wait before each further attempt: exponential, with jitter of a fifth either way.

    Args:
        random_fraction: 0 to 1, for the jitter.
        attempts: how many there are; None: without end.
    """
    backoff = INITIAL_BACKOFF_S
    for _ in count() if attempts is None else range(attempts):
        yield backoff * (0.8 + 0.4 * random_fraction())
        backoff = min(backoff * BACKOFF_MULTIPLIER, MAX_BACKOFF_S)


def pause_before_retry(
    error: VecgateError, backoff: Iterator[float], *, repeatable: bool, remaining: float
) -> float | None:
    """Decide whether and when to send a failed request again.

    A request that was refused with RetryInfo before it was looked at had no effect, so any may be sent again, not before the
    time the server named, until the deadline. One that met UNAVAILABLE otherwise may have had its effect: it is sent again only if
    that changes nothing, and only as often as `backoff` has pauses. So often is sent again, whatever it is, what gRPC dropped.

    Args:
        error: what the attempt met.
        backoff: the pauses left for what comes without a time to come back.
        repeatable: doing the request twice is the same as doing it once.
        remaining: seconds until the deadline.

    Returns:
        Seconds to wait, or None if the error is final.
    """
    if had_no_effect(error) and error.retry_after is not None:
        # Spread out, so that the callers refused together do not come back together.
        pause: float | None = error.retry_after + next(pauses())
    elif _was_dropped(error) or (repeatable and _met_no_server(error)):
        pause = next(backoff, None)
        if pause is not None and error.retry_after is not None:
            pause += error.retry_after
    else:
        pause = None
    return pause if pause is not None and pause < remaining else None


def had_no_effect(error: VecgateError) -> bool:
    """Whether a request was refused before the server looked at it."""
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED or (
        error.code is grpc.StatusCode.UNAVAILABLE and error.reason in UNTOUCHED_REASONS
    )


def _was_dropped(error: VecgateError) -> bool:
    """Whether a request was dropped before anything was done for it.

    gRPC answers with CANCELLED what comes to a server while it stops (https://github.com/grpc/grpc/issues/41785) or while more calls wait
    than it lets wait. What vecgate itself answers has an id, and it announces the id of a write that must not be done twice before
    it begins; on one connection nothing overtakes that. Only a proxy that gives up a call by itself could do so after the call began.
    """
    return error.code is grpc.StatusCode.CANCELLED and error.request_id is None


def _met_no_server(error: VecgateError) -> bool:
    """Whether a request met no server, or one that went away in the middle."""
    return error.code is grpc.StatusCode.UNAVAILABLE and not isinstance(error, TlsError)
