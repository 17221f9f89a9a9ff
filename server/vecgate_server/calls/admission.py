"""Whether a call may begin: the life of the server, and how much it takes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from vecgate_server.calls.caller import caller
from vecgate_server.config_limits import LimitSettings
from vecgate_server.draining import shutting_down
from vecgate_server.errors import StartingError, TooManyBytesError, TooManyCallsError, TooManyStreamsError

RETRY_SECONDS = 1.0
QUIET_SECONDS = 0.1
"""Without a call: longer than the way to a caller and back."""
MOST_NOISY_SECONDS = 0.9
"""Less than draining.RETRY_SECONDS, after which those that were refused come back."""


class Phase(Enum):
    """Where the server is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Admission:
    """Decides whether a call may begin: not before the backends are open, not while draining, not over the limits.

    Attributes:
        calls: in hand, streams left out.
        streams: open.
        request_bytes: of the calls in hand. What streams have under way is bounded by their window.
    """

    def __init__(self, limits: LimitSettings, progress: Callable[[], str]) -> None:
        """Begin with no call allowed; `progress` tells how far the start is, "" if that is not known."""
        self.phase = Phase.STARTING
        self.calls = 0
        self.streams = 0
        self.request_bytes = 0
        self._progress = progress
        self._limits = limits
        self._idle = asyncio.Event()
        self._idle.set()
        self._last_arrival = -QUIET_SECONDS

    @property
    def limit(self) -> int:
        """How many calls it takes at once."""
        return self._limits.max_concurrent_calls

    @contextmanager
    def call(self, request_bytes: int) -> Iterator[None]:
        """Hold one place, and room for the request, for the duration of a call.

        Raises:
            StartingError, ShuttingDownError, TooManyCallsError, TooManyBytesError: the call may not begin.
        """
        self._refuse_by_phase()
        self._refuse_call(request_bytes)
        self.calls += 1
        self.request_bytes += request_bytes
        self._idle.clear()
        try:
            yield
        finally:
            self.calls -= 1
            self.request_bytes -= request_bytes
            self._tell_if_idle()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Hold the place of a stream: it may be idle for hours, and takes none from the calls.

        Raises:
            StartingError, ShuttingDownError, TooManyStreamsError: the stream may not begin.
        """
        self._refuse_by_phase()
        if self.streams >= self._limits.max_streams:
            raise TooManyStreamsError(
                f"{self.streams} streams are open; limits.max_streams is {self._limits.max_streams}",
                retry_after=RETRY_SECONDS,
            )
        self.streams += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.streams -= 1
            self._tell_if_idle()

    async def drain(self, grace: float) -> bool:
        """Let no call begin from now on; return whether those in hand ended within `grace` seconds.

        It goes on while calls still come, for MOST_NOISY_SECONDS at most: they are refused and told when to come back, and what comes later,
        while gRPC itself stops, gets CANCELLED (https://github.com/grpc/grpc/issues/41785), which tells nobody when to come back.
        """
        self.phase = Phase.DRAINING
        end = time.monotonic() + grace
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            return False
        await self._quiet(min(end, time.monotonic() + MOST_NOISY_SECONDS))
        return True

    async def _quiet(self, end: float) -> None:
        """Wait until no call came for QUIET_SECONDS, up to a time of time.monotonic at most."""
        while (pause := min(end, self._last_arrival + QUIET_SECONDS) - time.monotonic()) > 0:  # noqa: ASYNC110  # no event is no call
            await asyncio.sleep(pause)

    def _refuse_by_phase(self) -> None:
        self._last_arrival = time.monotonic()
        if self.phase is Phase.STARTING:
            # It names collections, and counts their records.
            told = self._progress() if caller.get().sees_all else ""
            raise StartingError(f"the server is starting{told and f': {told}'}", retry_after=RETRY_SECONDS)
        if self.phase is Phase.DRAINING:
            raise shutting_down()

    def _refuse_call(self, request_bytes: int) -> None:
        if self.calls >= self._limits.max_concurrent_calls:
            raise TooManyCallsError(
                f"{self.calls} calls are in hand; limits.max_concurrent_calls is {self._limits.max_concurrent_calls}",
                retry_after=RETRY_SECONDS,
            )
        # One that finds no other is taken, however large: coming back would not help it.
        if self.request_bytes and self.request_bytes + request_bytes > self._limits.max_bytes_in_hand:
            raise TooManyBytesError(
                f"the requests in hand have {self.request_bytes} bytes and this one {request_bytes}; "
                f"limits.max_bytes_in_hand is {self._limits.max_bytes_in_hand}",
                retry_after=RETRY_SECONDS,
            )

    def _tell_if_idle(self) -> None:
        if not (self.calls or self.streams):
            self._idle.set()
