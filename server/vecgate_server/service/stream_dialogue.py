"""What is said on an open UpsertStream, and when it ends; docs/streaming.md tells it to those who write clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from google.protobuf.duration_pb2 import Duration

from vecgate.v1.ingest_pb2 import (
    UpsertStreamBatch,
    UpsertStreamReceipt,
    UpsertStreamRequest,
    UpsertStreamResponse,
    UpsertStreamShutdown,
    UpsertStreamWindow,
)
from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.deadline import margin
from vecgate_server.draining import Draining, shutting_down
from vecgate_server.service.batch_pipeline import BatchPipeline
from vecgate_server.service.stream_window import Amount, StreamWindow
from vecgate_server.stream_requests import LONGEST_SECONDS

NOTHING = Amount(0, 0)
ENDING_SHARE = 0.25
"""Of a short grace, for the end of the stream itself."""


class StreamDialogue:
    """Reads the batches of one stream into its pipeline while the block runs, and says what is to be answered."""

    def __init__(
        self,
        requests: AsyncIterator[UpsertStreamRequest],
        pipeline: BatchPipeline,
        window: StreamWindow,
        draining: Draining,
        news: asyncio.Event,
    ) -> None:
        """Begin after the opening.

        Args:
            requests: what comes after it; awaiting one may be cancelled.
            pipeline: takes the batches.
            window: says when another may be read.
            draining: tells when the server stops.
            news: set when there may be something to say.
        """
        self._requests = requests
        self._pipeline = pipeline
        self._window = window
        self._draining = draining
        self._news = news
        self._arrived = 0
        self._told_arrived = 0
        self._told_window = NOTHING
        self._told_shutdown = False
        self._sending = NOTHING

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._pipeline.run())
        self._reading = asyncio.create_task(self._read())
        self._stopping = asyncio.create_task(self._stop_with_the_server())
        for task in (self._writing, self._stopping):
            task.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = (self._writing, self._reading, self._stopping)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pipeline.drop()

    async def next_response(self) -> UpsertStreamResponse | None:
        """Wait for what is to be said next; None at the end. The one before was sent when this is called.

        Raises:
            VecgateError: the stream ends with it, after all results that there are.
        """
        self._window.give_back(self._sending)
        self._sending = NOTHING
        while True:
            self._news.clear()
            response = self._shutdown() or self._size() or self._receipt() or self._result()
            if response is not None:
                return response
            if self._writing.done():
                self._writing.result()
                return None
            if self._stopping.done():
                self._stopping.result()
                raise shutting_down()
            await self._news.wait()

    def _shutdown(self) -> UpsertStreamResponse | None:
        if self._told_shutdown or not self._draining.begun:
            return None
        self._told_shutdown = True
        grace = Duration()
        grace.FromNanoseconds(int(self._draining.seconds_left * 1e9))
        return UpsertStreamResponse(shutdown=UpsertStreamShutdown(grace=grace))

    def _size(self) -> UpsertStreamResponse | None:
        size = self._window.size
        if size == self._told_window:
            return None
        self._told_window = size
        return UpsertStreamResponse(window=UpsertStreamWindow(records=size.records, bytes=size.bytes))

    def _receipt(self) -> UpsertStreamResponse | None:
        if self._arrived == self._told_arrived:
            return None
        self._told_arrived = self._arrived
        return UpsertStreamResponse(receipt=UpsertStreamReceipt(sequence=self._arrived))

    def _result(self) -> UpsertStreamResponse | None:
        if not self._pipeline.finished:
            return None
        finished = self._pipeline.finished.popleft()
        self._sending = finished.amount
        return UpsertStreamResponse(result=finished.result)

    async def _read(self) -> None:
        """Read to the end of the requests, or to the first that should not have come."""
        try:
            while (batch := await self._next_batch()) is not None:
                self._arrived = batch.sequence
                self._pipeline.put(batch)
            self._pipeline.close()
            await self._expect_nothing()
        except Exception as fault:  # noqa: BLE001  # whatever it is, the stream ends with it
            self._pipeline.close(fault)

    async def _next_batch(self) -> UpsertStreamBatch | None:
        """Read the next batch as soon as there is room for it; None at the end.

        Raises:
            InvalidArgumentError: something else came.
        """
        await self._window.room()
        request = await anext(self._requests, None)
        if request is None or request.HasField("close"):
            return None
        if not request.HasField("batch"):
            raise InvalidArgumentError.at(_said(request), "after open come batches, then close")
        expected = self._arrived + 1
        if request.batch.sequence != expected:
            raise InvalidArgumentError.at(
                "batch.sequence", f"is {request.batch.sequence}, but the next batch of this stream is {expected}"
            )
        return request.batch

    async def _expect_nothing(self) -> None:
        request = await anext(self._requests, None)
        if request is not None:
            raise InvalidArgumentError.at(_said(request), "nothing may come after close")

    async def _stop_with_the_server(self) -> None:
        """Read no more once the server stops; return when the time for what was read is over."""
        await self._draining.wait()
        self._reading.cancel()
        if not self._pipeline.closed:
            self._pipeline.close(shutting_down())
        self._news.set()
        left = self._draining.seconds_left
        # The end takes a while too, if the client is still sending.
        await asyncio.sleep(left - margin(left) - min(ENDING_SHARE * left, LONGEST_SECONDS))


def _said(request: UpsertStreamRequest) -> str:
    """Return the path of what a request holds, or of what it should hold."""
    return request.WhichOneof("message") or "message"
