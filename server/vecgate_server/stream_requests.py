"""The requests of a streaming call, read so that none is lost.

A read of gRPC's that is cancelled takes the next message with it. Here a read goes on beside whoever awaits it, and what it brings is there
for the next one who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from typing_extensions import override

Request = TypeVar("Request")

DEPARTURE_SECONDS = 0.1
"""Within which gRPC tells that a caller has gone, after it told that no message comes."""
QUIET_SECONDS = 0.1
"""A client that sends nothing for so long is taken to have stopped."""
LONGEST_SECONDS = 1.0
"""How long one that goes on sending is heard out."""


class StreamRequests(AsyncIterator[Request], Generic[Request]):
    """The requests in order; awaiting one may be cancelled and begun again."""

    def __init__(
        self,
        read: Callable[[], Awaitable[object]],
        parse: Callable[[bytes], Request],
        reads: set[asyncio.Future[object]],
        turn: Callable[[], Awaitable[None]],
    ) -> None:
        """Read nothing yet.

        Args:
            read: gRPC's read of one message; grpc.aio.EOF at the end.
            parse: turns a message into a request.
            reads: holds the read under way until it ends, which it does with the call at the latest.
            turn: waits until the next message may be read; of what is dropped none has one.
        """
        self._read = read
        self._parse = parse
        self._reads = reads
        self._turn = turn
        self._reading: asyncio.Future[object] | None = None
        self._exhausted = False
        self._begun = False

    @override
    def __aiter__(self) -> StreamRequests[Request]:
        return self

    @override
    async def __anext__(self) -> Request:
        if self._reading is None and not self._exhausted:
            await self._turn()
        message = await self._message()
        if message is None:
            raise StopAsyncIteration
        return self._parse(message)

    async def _message(self) -> bytes | None:
        """Wait for the next message; None at the end, also when it is asked for again."""
        if self._exhausted:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
            self._reads.add(self._reading)
            self._reading.add_done_callback(self._ended)
        await asyncio.wait({self._reading})
        message, self._reading = self._reading.result(), None
        if isinstance(message, bytes):
            self._begun = True
            return message
        self._exhausted = True
        if not self._begun:
            # As a rule the caller of a stream that never said anything went away, which ends this wait.
            await asyncio.sleep(DEPARTURE_SECONDS)
        return None

    async def drop_rest(self) -> None:
        """Read what is still being sent and drop it, until nothing comes for a moment.

        To be called before a call is ended with a fault: to a client that sends at the moment of the end, its library may tell a fault of
        its own (Python's grpc.aio says INTERNAL), so that the status would be lost.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                while True:
                    async with asyncio.timeout(QUIET_SECONDS):
                        if await self._message() is None:
                            return

    def _ended(self, reading: asyncio.Future[object]) -> None:
        self._reads.discard(reading)
        # A read that outlives its call ends in an error, which is nobody's.
        if not reading.cancelled():
            reading.exception()
