"""A stream of the asynchronous client, and the reading of records beside it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

import grpc.aio

from vecgate.errors import CallCancelledError, VecgateError
from vecgate.upsert_stream.arrivals import MOST_ARRIVALS, Arrival, Ended
from vecgate.upsert_stream.session import UpsertSession
from vecgate.upserting import RecordLike

Request = TypeVar("Request")
Response = TypeVar("Response")

AsyncRecords: TypeAlias = Iterable[RecordLike] | AsyncIterable[RecordLike]
"""The caller's records, read one by one: an ordinary or an asynchronous iterable."""


MOMENT_SECONDS = 0.25
"""How long it may take until the event loop hands over what came while the caller's code held it up."""


class AsyncStreamCall(Generic[Request, Response]):
    """A call in which both sides send as they like; for a with-block, which ends it."""

    def __init__(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        metadata: Sequence[tuple[str, str]],
        error_from: Callable[[grpc.aio.AioRpcError], VecgateError],
    ) -> None:
        self._error_from = error_from
        self._outbox: asyncio.Queue[Request] = asyncio.Queue()
        self._arrivals: deque[Arrival[Response]] = deque()
        self._changed = asyncio.Event()
        self._closing = False
        self._call = method(self._requests(), metadata=tuple(metadata))
        self._reader = asyncio.create_task(self._read())

    @property
    def waiting(self) -> bool:
        """Whether receive() would return at once."""
        return bool(self._arrivals)

    def send(self, messages: Iterable[Request]) -> None:
        """Hand over messages; they go out in order, as fast as the server reads them."""
        for message in messages:
            self._outbox.put_nowait(message)

    async def receive(self, seconds: float) -> Arrival[Response] | None:
        """Return what comes next, or None if nothing does within these seconds, or a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, MOMENT_SECONDS)):
                await self.arrived()
        return self._take() if self._arrivals else None

    async def arrived(self) -> None:
        """Wait until something has come."""
        while not self._arrivals:
            self._changed.clear()
            await self._changed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._call.cancel()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _requests(self) -> AsyncIterator[Request]:
        while True:
            yield await self._outbox.get()

    async def _read(self) -> None:
        try:
            async for response in self._call:
                await self._arrive(response)
        except grpc.aio.AioRpcError as failure:
            error = self._error_from(failure)
            error.__cause__ = failure
            await self._arrive(Ended(error))
        except asyncio.CancelledError:
            if self._closing:
                raise
            # So it looks when the channel is closed under a call.
            await self._arrive(Ended(CallCancelledError("the channel was closed")))
        else:
            await self._arrive(Ended(None))

    async def _arrive(self, arrival: Arrival[Response]) -> None:
        """Keep what came; with much unread, the server is read no further."""
        while len(self._arrivals) >= MOST_ARRIVALS:
            self._changed.clear()
            await self._changed.wait()
        self._arrivals.append(arrival)
        self._changed.set()

    def _take(self) -> Arrival[Response]:
        arrival = self._arrivals.popleft()
        self._changed.set()
        return arrival


class AsyncRecordFeed:
    """The caller's records, read one by one; for a with-block.

    An asynchronous iterable is read in a task of its own, so that answers are looked at while it waits for more records.
    """

    def __init__(self, records: AsyncRecords, session: UpsertSession) -> None:
        self._session = session
        self._asynchronous = aiter(records) if isinstance(records, AsyncIterable) else None
        self._plain = iter(()) if isinstance(records, AsyncIterable) else iter(records)
        self._pull: asyncio.Task[None] | None = None

    async def fill(self, call: AsyncStreamCall[Request, Response], seconds: float) -> None:
        """Read records until the session wants no more, an answer waits, or these seconds are over."""
        if self._asynchronous is None:
            self._read_plain(call)
            await asyncio.sleep(0)  # other tasks have their turn between two batches
            return
        if self._pull is None:
            self._pull = asyncio.create_task(self._read(self._asynchronous))
        arrival = asyncio.create_task(call.arrived())
        try:
            until = min(seconds, self._session.cut_if_late())
            await asyncio.wait({self._pull, arrival}, timeout=until, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
        self._session.cut_if_late()
        if self._pull.done():
            done, self._pull = self._pull, None
            done.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pull is not None:
            self._pull.cancel()
            await asyncio.gather(self._pull, return_exceptions=True)

    def _read_plain(self, call: AsyncStreamCall[Request, Response]) -> None:
        for item in self._plain:
            self._session.add(item)
            if not self._session.wants_records or call.waiting:
                return
        self._session.end_source()

    async def _read(self, records: AsyncIterator[RecordLike]) -> None:
        async for item in records:
            self._session.add(item)
            if not self._session.wants_records:
                return
        self._session.end_source()
