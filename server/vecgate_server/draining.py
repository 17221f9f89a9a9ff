"""That the server is about to stop, for calls that would go on without an end of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from vecgate_server.errors import ShuttingDownError

Answer = TypeVar("Answer")

RETRY_SECONDS = 1.0
"""When a call may come back; another address may answer it at once."""


class Draining:
    """Begins once, with the grace that calls in hand get."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._until = 0.0

    @property
    def begun(self) -> bool:
        """Whether the server is about to stop."""
        return self._begun.is_set()

    @property
    def seconds_left(self) -> float:
        """Of the grace, 0 at least; 0 before it began."""
        return max(0.0, self._until - time.monotonic())

    def begin(self, grace: float) -> None:
        """Tell everybody that calls have `grace` seconds to end; only the first time counts."""
        if not self.begun:
            self._until = time.monotonic() + grace
            self._begun.set()

    async def wait(self) -> None:
        """Return when it has begun."""
        await self._begun.wait()

    async def guard(self, work: Awaitable[Answer]) -> Answer:
        """Await work, which is given up (cancelled) when the draining begins.

        Raises:
            ShuttingDownError: it began before the work was done.
        """
        doing = asyncio.ensure_future(work)
        beginning = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({doing, beginning}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise shutting_down()
            return doing.result()
        finally:
            for each in (doing, beginning):
                each.cancel()


def shutting_down() -> ShuttingDownError:
    """Build the error of a call that finds the server about to stop."""
    return ShuttingDownError("the server is shutting down", retry_after=RETRY_SECONDS)
