"""SIGTERM in the middle of bulk ingest: within the grace the server ends with 0, and what it acknowledged is there, and nothing else.

UpsertStream on Faiss is in test_stream_losses.py.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

import grpc
import grpc.aio
import pytest
from emulators.qdrant_process import qdrant_process
from faults.ledger import DIMENSION, Ledger, read_everything
from streaming.corpus import BATCH, BATCHES, Corpus
from streaming.corpus import DIMENSION as CORPUS_DIMENSION

from vecgate.v1.collection_pb2 import METRIC_DOT, METRIC_EUCLIDEAN, CreateCollectionRequest, Unbound
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

STOPS = 2
WRITERS = 4
WRITES_BEFORE_A_STOP = 40
GRACE = 20.0


@pytest.fixture(params=["faiss", "qdrant"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {
        "models": {"preload": []},
        "server": {"port": 0, "shutdown_grace_seconds": GRACE},
        "limits": {"stream_window_records": 10 * BATCH},
    }
    if request.param == "faiss":
        options = {"path": str(tmp_path / "store")}
        yield common | {"backends": {"faiss": {"kind": "faiss", "options": options}}}
        return
    with qdrant_process() as port:
        backend = {"kind": "qdrant", "options": {"host": "127.0.0.1", "grpc_port": port}}
        yield common | {"backends": {"qdrant": backend}}


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


def stop_in_time(server: Any) -> None:
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < GRACE


async def write_for_ever(
    stub: VectorSearchServiceAsyncStub, ledger: Ledger, writer: int, wrote: Callable[[], None]
) -> Never:
    while True:
        await ledger.write(stub, writer)
        wrote()


async def write_until_refused(
    stub: VectorSearchServiceAsyncStub, ledger: Ledger, writer: int, wrote: Callable[[], None]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await write_for_ever(stub, ledger, writer, wrote)
    # Told by the server, or by the connection that it had closed.
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE, refused.value


async def test_a_loop_of_writes_leaves_no_doubt_of_what_was_done(settings: dict[str, Any], start_server: Any) -> None:
    ledger = Ledger("notes", random.Random(11))
    server = start_server(settings)
    async with connected(server.address) as stub:
        unbound = Unbound(dimension=DIMENSION)
        await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=unbound, metric=METRIC_DOT))
    for _ in range(STOPS):
        written = asyncio.Semaphore(0)
        async with connected(server.address) as stub, asyncio.TaskGroup() as tasks:
            for writer in range(1, 1 + WRITERS):
                tasks.create_task(write_until_refused(stub, ledger, writer, written.release))
            for _ in range(WRITES_BEFORE_A_STOP):
                await written.acquire()
            await asyncio.to_thread(stop_in_time, server)
        server = start_server(settings)
        async with connected(server.address) as stub:
            # What was in hand was finished and answered, so what was refused had no effect.
            ledger.unanswered = {}
            ledger.settle(await read_everything(stub, "notes"))
    assert server.stop() == 0


@pytest.mark.parametrize("settings", ["qdrant"], indirect=True)
async def test_a_stream_is_handed_over_with_everything_acknowledged(
    settings: dict[str, Any], start_server: Any, refusal: Any
) -> None:
    corpus = Corpus()
    server = start_server(settings)
    async with connected(server.address) as stub:
        unbound = Unbound(dimension=CORPUS_DIMENSION)
        await stub.CreateCollection(CreateCollectionRequest(name="notes", unbound=unbound, metric=METRIC_EUCLIDEAN))
    for _ in range(STOPS):
        async with connected(server.address) as stub:
            streaming = asyncio.ensure_future(refusal(corpus.stream(stub)))
            await corpus.reach(corpus.done + 20)
            stopping = asyncio.create_task(asyncio.to_thread(stop_in_time, server))
            refused = await streaming
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
            await stopping
        server = start_server(settings)
        async with connected(server.address) as stub:
            await corpus.check(stub, beyond=0)
    assert 0 < corpus.done < BATCHES
    assert server.stop() == 0
