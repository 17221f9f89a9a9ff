"""The requests of a streaming call, read so that none is lost.

A read of gRPC's that is cancelled takes the next message with it. Here a read goes on beside whoever awaits it, and what it brings is there
for the next one who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from typing_extensions import override

Request = TypeVar("Request")


class StreamRequests(AsyncIterator[Request], Generic[Request]):
    """The requests in order; awaiting one may be cancelled and begun again."""

    def __init__(
        self,
        read: Callable[[], Awaitable[object]],
        parse: Callable[[bytes], Request],
        reads: set[asyncio.Future[object]],
    ) -> None:
        """Read nothing yet.

        Args:
            read: gRPC's read of one message; grpc.aio.EOF at the end.
            parse: turns a message into a request.
            reads: holds the read under way until it ends, which it does with the call at the latest.
        """
        self._read = read
        self._parse = parse
        self._reads = reads
        self._reading: asyncio.Future[object] | None = None
        self._exhausted = False

    @override
    def __aiter__(self) -> StreamRequests[Request]:
        return self

    @override
    async def __anext__(self) -> Request:
        if self._exhausted:
            raise StopAsyncIteration
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
            self._reads.add(self._reading)
            self._reading.add_done_callback(self._ended)
        await asyncio.wait({self._reading})
        message, self._reading = self._reading.result(), None
        if not isinstance(message, bytes):
            self._exhausted = True
            raise StopAsyncIteration
        return self._parse(message)

    def _ended(self, reading: asyncio.Future[object]) -> None:
        self._reads.discard(reading)
        # A read that outlives its call ends in an error, which is nobody's.
        if not reading.cancelled():
            reading.exception()
