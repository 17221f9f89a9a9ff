"""How many calls a client makes at once: what is asked for beyond that waits in it, within its deadline.

A server lets only so many calls wait for it (its `limits.max_waiting_calls`), and drops some of those that come beyond.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

CALLS_AT_ONCE = 128
"""Half of the calls that a server lets wait by default: from there on it drops some."""


class Turns:
    """The places of a blocking client."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(CALLS_AT_ONCE)

    @contextmanager
    def turn(self, end: float) -> Iterator[None]:
        """Wait for a place and hold it for the with-block; go on without one once the time is over, so that gRPC says so.

        Args:
            end: on time.monotonic(), when the deadline of the call is.
        """
        placed = self._places.acquire(timeout=max(end - time.monotonic(), 0.0))
        try:
            yield
        finally:
            if placed:
                self._places.release()


class AsyncTurns:
    """The places of an asynchronous client; as Turns."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)

    @asynccontextmanager
    async def turn(self, end: float) -> AsyncIterator[None]:
        """Wait for a place and hold it for the with-block, as in Turns."""
        # Without a timer in the usual case, since that costs more than the place.
        placed = not self._places.locked() and await self._places.acquire()
        if not placed:
            with suppress(TimeoutError):
                async with asyncio.timeout(end - time.monotonic()):
                    placed = await self._places.acquire()
        try:
            yield
        finally:
            if placed:
                self._places.release()
