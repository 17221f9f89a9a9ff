"""A corpus that goes into a collection over stream after stream, and what of it must be there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from streaming.call import StreamCall
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.vector_pb2 import Vector

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

DIMENSION = 64
BATCH = 50
BATCHES = 400


def records(batch: int) -> list[Record]:
    """Build the records of one of the batches of a corpus; some ids come in two batches, and the later one stands."""
    vector = Vector(packed=np.full(DIMENSION, batch + 1, "<f4").tobytes())
    ids = [f"{batch:04}-{row:02}" for row in range(BATCH - 1)]
    return [Record(id=id_, text=f"batch {batch} " * 10, vector=vector) for id_ in (*ids, f"twice {batch // 2}")]


class Corpus:
    """What of the batches is acknowledged: the first `done` of them; sent on stream after stream."""

    def __init__(self) -> None:
        self.done = 0
        self.told: list[str] = []
        self.sent = 0
        self.window = 0
        self.news = asyncio.Condition()

    async def stream(self, stub: VectorSearchServiceAsyncStub) -> None:
        """Send what is not acknowledged, up to the end of the corpus or of the stream, whose fault is raised."""
        stream = StreamCall(stub)
        self.window = (await stream.open("notes")).records
        first = self.sent = self.done
        sending = asyncio.create_task(self._send(stream, first))
        try:
            while (response := await stream.read()) is not None:
                async with self.news:
                    if response.HasField("result"):
                        assert response.result.sequence == self.done - first + 1
                        assert not any(outcome.HasField("error") for outcome in response.result.outcomes)
                        self.done += 1
                    elif response.HasField("window"):
                        self.window = response.window.records
                    elif response.HasField("shutdown"):
                        self.window = 0
                    self.news.notify_all()
        finally:
            self.told = stream.told
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def reach(self, batches: int) -> None:
        """Wait until so many batches are acknowledged."""
        async with self.news:
            await self.news.wait_for(lambda: self.done >= batches)

    async def check(self, stub: VectorSearchServiceAsyncStub, *, beyond: int) -> None:
        """What was acknowledged is there as it was sent; and of what was not, no more than so many batches, from the first on."""
        count = (await stub.Count(CountRequest(collection="notes"))).count
        most = min(BATCHES, self.done + beyond)
        assert distinct(self.done) <= count <= distinct(most)
        for batch in {0, self.done // 2, self.done - 1} - {-1}:
            expected = {record.id: record for record in [*records(batch), *records(min(batch | 1, most - 1))]}
            selector = Selector(ids=IdList(ids=[record.id for record in records(batch)]))
            fields = ReturnFields(text=True, vector=True)
            found = await stub.Get(GetRequest(collection="notes", selector=selector, fields=fields))
            assert len(found.records) == BATCH
            for record in found.records[:-1]:
                assert record == expected[record.id]
            if batch | 1 < self.done:
                assert found.records[-1] == expected[found.records[-1].id]

    async def _send(self, stream: StreamCall, first: int) -> None:
        for batch in range(first, BATCHES):
            async with self.news:
                await self.news.wait_for(lambda: (self.sent - self.done + 1) * BATCH <= self.window)
                self.sent += 1
            await stream.put(records(batch))
        await stream.close()


def distinct(batches: int) -> int:
    """Return how many ids the first batches hold."""
    return batches * (BATCH - 1) + (batches + 1) // 2
