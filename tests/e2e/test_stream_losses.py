"""UpsertStream over a full disk, a server that stops and one that is killed: what had a result is there, and a new stream goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
from faults.small_disk import NoSmallDiskError, SmallDisk, small_disk
from streaming.call import StreamCall

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

DIMENSION = 64
BATCH = 50
BATCHES = 400
MIB = 2**20


def settings(path: Path) -> dict[str, Any]:
    options = {"path": str(path / "store")}
    return {
        "models": {"preload": []},
        "backends": {"faiss": {"kind": "faiss", "options": options}},
        "limits": {"stream_window_records": 10 * BATCH},
    }


def records(batch: int) -> list[Record]:
    """Build the records of one of the batches of a corpus; some ids come in two batches, and the later one stands."""
    vector = Vector(packed=np.full(DIMENSION, batch + 1, "<f4").tobytes())
    ids = [f"{batch:04}-{row:02}" for row in range(BATCH - 1)]
    return [Record(id=id_, text=f"batch {batch} " * 10, vector=vector) for id_ in (*ids, f"twice {batch // 2}")]


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


async def create(stub: VectorSearchServiceAsyncStub) -> None:
    await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=Unbound(dimension=DIMENSION)))


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


async def test_a_stop_loses_nothing_acknowledged_and_the_next_stream_goes_on(
    start_server: Any, tmp_path: Path, refusal: Any
) -> None:
    corpus = Corpus()
    server = start_server(settings(tmp_path))
    for stop in range(4):
        async with connected(server.address) as stub:
            if stop == 0:
                await create(stub)
            streaming = asyncio.ensure_future(refusal(corpus.stream(stub)))
            await corpus.reach(corpus.done + 30)
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            refused = await streaming
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
            assert "shutdown" in corpus.told
            assert await stopping == 0
        server = start_server(settings(tmp_path))
        async with connected(server.address) as stub:
            await corpus.check(stub, beyond=0)
    async with connected(server.address) as stub:
        await corpus.stream(stub)
        assert corpus.done == BATCHES
        await corpus.check(stub, beyond=0)


async def test_a_kill_loses_nothing_acknowledged_and_the_next_stream_goes_on(start_server: Any, tmp_path: Path) -> None:
    corpus = Corpus()
    choices = random.Random(7)
    server = start_server(settings(tmp_path))
    for kill in range(5):
        async with connected(server.address) as stub:
            if kill == 0:
                await create(stub)
            streaming = asyncio.ensure_future(corpus.stream(stub))
            await corpus.reach(corpus.done + choices.randint(1, 60))
            server.kill()
            with pytest.raises(grpc.aio.AioRpcError) as gone:
                await streaming
            # What grpc.aio may say to who sends at that moment.
            while_sending = (grpc.StatusCode.INTERNAL, "Internal error from Core")
            said = (gone.value.code(), gone.value.details())
            assert said[0] is grpc.StatusCode.UNAVAILABLE or said == while_sending
        server = start_server(settings(tmp_path))
        async with connected(server.address) as stub:
            await corpus.check(stub, beyond=10)
    async with connected(server.address) as stub:
        await corpus.stream(stub)
        assert corpus.done == BATCHES
        await corpus.check(stub, beyond=0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """An empty disk of 80 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        with small_disk(path, "80m") as mounted:
            yield mounted
    except NoSmallDiskError as refused:
        pytest.skip(f"no disk can be mounted for this test: {refused}")


async def test_a_full_disk_ends_a_stream_and_the_next_one_goes_on_when_there_is_space(
    disk: SmallDisk, start_server: Any, refusal: Any
) -> None:
    corpus = Corpus()
    server = start_server(settings(disk.path), prefix=disk.prefix)
    ballast = disk.seen / "ballast"
    ballast.write_bytes(bytes(disk.free_bytes - 4 * MIB))
    async with connected(server.address) as stub:
        await create(stub)
        for _ in range(2):
            refused = await refusal(corpus.stream(stub))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
            await corpus.check(stub, beyond=0)
        assert 10 < corpus.done < BATCHES
        ballast.unlink()
        await corpus.stream(stub)
        assert corpus.done == BATCHES
        await corpus.check(stub, beyond=0)
    server.kill()
    async with connected(start_server(settings(disk.path), prefix=disk.prefix).address) as stub:
        await corpus.check(stub, beyond=0)
