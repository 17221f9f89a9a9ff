"""A lock that many may share or one may have alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SharedLock:
    """Whoever waits to be alone is not overtaken by those who would share."""

    def __init__(self) -> None:
        self._gate = asyncio.Lock()
        self._sharers = 0
        self._nobody_shares = asyncio.Event()
        self._nobody_shares.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the lock beside others who share it."""
        async with self._gate:
            self._sharers += 1
            self._nobody_shares.clear()
        try:
            yield
        finally:
            self._sharers -= 1
            if self._sharers == 0:
                self._nobody_shares.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock while nobody else does."""
        async with self._gate:
            await self._nobody_shares.wait()
            yield
