"""The calls of a collection that are under way, so that its end can wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from vecgate_backends.errors import VecgateError


class CallsUnderWay:
    """Lets calls in until the end, then refuses new ones and waits for the others."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()
        self._ending: Callable[[], VecgateError] | None = None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one call.

        Raises:
            VecgateError: what the end was told.
        """
        if self._ending is not None:
            raise self._ending()
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._none.set()

    async def end(self, ending: Callable[[], VecgateError]) -> None:
        """Refuse new calls with what `ending` makes, and wait for those under way."""
        self._ending = ending
        await self._none.wait()
