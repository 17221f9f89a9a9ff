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
import pytest
from faults.small_disk import NoSmallDiskError, SmallDisk, small_disk
from streaming.corpus import BATCH, BATCHES, DIMENSION, Corpus

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub


MIB = 2**20


def settings(path: Path) -> dict[str, Any]:
    options = {"path": str(path / "store")}
    return {
        "models": {"preload": []},
        "backends": {"faiss": {"kind": "faiss", "options": options}},
        "limits": {"stream_window_records": 10 * BATCH},
    }


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


async def create(stub: VectorSearchServiceAsyncStub) -> None:
    await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=Unbound(dimension=DIMENSION)))


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
