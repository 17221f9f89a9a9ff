"""Whether a call may begin: the life of the server, and how many calls it takes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from vecgate_server.draining import shutting_down
from vecgate_server.errors import StartingError, TooManyCallsError

RETRY_SECONDS = 1.0


class Phase(Enum):
    """Where the server is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Admission:
    """Decides whether a call may begin: not before the backends are open, not while draining, not over the limit."""

    def __init__(self, max_concurrent_calls: int, progress: Callable[[], str]) -> None:
        """Begin with no call allowed; `progress` tells callers how far the start is, "" if that is not known."""
        self.phase = Phase.STARTING
        self._progress = progress
        self._limit = max_concurrent_calls
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def limit(self) -> int:
        """How many calls it takes at once."""
        return self._limit

    @property
    def in_hand(self) -> int:
        """How many there are now."""
        return self._in_hand

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold one place for the duration of a call.

        Raises:
            StartingError, ShuttingDownError, TooManyCallsError: the call may not begin.
        """
        if self.phase is Phase.STARTING:
            told = self._progress()
            raise StartingError(f"the server is starting{told and f': {told}'}", retry_after=RETRY_SECONDS)
        if self.phase is Phase.DRAINING:
            raise shutting_down()
        if self._in_hand >= self._limit:
            raise TooManyCallsError(
                f"{self._in_hand} calls are in hand; limits.max_concurrent_calls is {self._limit}",
                retry_after=RETRY_SECONDS,
            )
        self._in_hand += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()

    async def drain(self, grace: float) -> bool:
        """Let no call begin from now on; return whether those in hand ended within `grace` seconds."""
        self.phase = Phase.DRAINING
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
