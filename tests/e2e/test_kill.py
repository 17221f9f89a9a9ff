"""kill -9 in the middle of concurrent writes, seals and merges: what was acknowledged is there, once and whole, and nothing else is.

VECGATE_TEST_KILLS says how often a server is killed; `make test-kill` does it 200 times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest
from faults.ledger import DIMENSION, Ledger, read_everything, vectors
from faults.segment_watch import SegmentWatch

from vecgate.v1.collection_pb2 import (
    METRIC_COSINE,
    METRIC_DOT,
    METRIC_EUCLIDEAN,
    QUANTIZATION_SCALAR8,
    CreateCollectionRequest,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Unbound,
)
from vecgate.v1.filter_pb2 import Filter, Selector
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.search_pb2 import MATCH_LAYOUT_COLUMNS, Query, SearchOptions, SearchParameters, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate_backends.records import FloatMatrix, FloatVector

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

log = logging.getLogger(__name__)

KILLS = int(os.environ.get("VECGATE_TEST_KILLS", "20"))
WRITERS = 3
# Small, so that sealing and merging run while the process is killed; four sealed heads merged have enough vectors for inverted lists.
SETTINGS: dict[str, Any] = {
    "models": {"preload": []},
    "backends": {"faiss": {"kind": "faiss", "options": {"path": "./data", "seal_threshold": 180}}},
}
UNBOUND = Unbound(dimension=DIMENSION)
SCALAR8 = IndexConfig(hnsw=HnswIndex(m=8, quantization=QUANTIZATION_SCALAR8))
COLLECTIONS = (
    CreateCollectionRequest(name="flat", unbound=UNBOUND, index=IndexConfig(flat=FlatIndex()), metric=METRIC_DOT),
    CreateCollectionRequest(name="hnsw", unbound=UNBOUND, index=IndexConfig(hnsw=HnswIndex(m=8)), metric=METRIC_COSINE),
    CreateCollectionRequest(name="hnsw-scalar8", unbound=UNBOUND, index=SCALAR8, metric=METRIC_EUCLIDEAN),
    CreateCollectionRequest(name="ivf", unbound=UNBOUND, index=IndexConfig(ivf=IvfIndex()), metric=METRIC_COSINE),
)
KINDS = {collection.name for collection in COLLECTIONS}
ODD = Filter(expression="odd = true")


def cosines(query: FloatVector, rows: FloatMatrix) -> FloatVector:
    similarities: FloatVector = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    return similarities


ORACLES: Mapping[str, Callable[[FloatVector, FloatMatrix], FloatVector]] = {
    "flat": lambda query, rows: rows @ query,
    "hnsw": cosines,
    "hnsw-scalar8": lambda query, rows: -np.linalg.norm(rows - query, axis=1),
    "ivf": cosines,
}


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


async def write_until_it_dies(
    stub: VectorSearchServiceAsyncStub, ledger: Ledger, writer: int, answers: asyncio.Semaphore
) -> None:
    try:
        while True:
            await ledger.write(stub, writer)
            answers.release()
    except grpc.aio.AioRpcError as gone:
        if gone.code() is not grpc.StatusCode.UNAVAILABLE:
            raise


async def watch_segments(watch: SegmentWatch, directories: Sequence[Path]) -> None:
    while True:
        for directory in directories:
            with suppress(FileNotFoundError):  # merged away meanwhile
                watch.look(directory)
        await asyncio.sleep(0.01)


async def check_searches(stub: VectorSearchServiceAsyncStub, collection: str, stored: dict[str, int]) -> bool:
    """Every stored record, and no other, is counted and found once with its score; return whether an index was walked through."""
    assert (await stub.Count(CountRequest(collection=collection))).count == len(stored)
    query = np.random.default_rng(len(stored)).standard_normal(DIMENSION).astype(np.float32)
    odd = {identifier: version for identifier, version in stored.items() if version % 2}
    counted = await stub.Count(CountRequest(collection=collection, selector=Selector(filter=ODD)))
    assert counted.count == len(odd)
    everything = len(stored) + 10
    for wanted, options in (
        (stored, SearchOptions(top_k=everything, parameters=SearchParameters(exact=True))),
        (stored, SearchOptions(top_k=everything)),
        (odd, SearchOptions(top_k=everything, filter=ODD)),
    ):
        found, _ = await search(stub, collection, query, options)
        assert found == pytest.approx(scores(collection, query, wanted), abs=2e-6)
    narrow = SearchParameters(ef=1, nprobe=1)
    found, plan = await search(stub, collection, query, SearchOptions(top_k=1, parameters=narrow, explain=True))
    assert len(found) == min(1, len(stored))
    expected = scores(collection, query, {identifier: stored[identifier] for identifier in found})
    assert found == pytest.approx(expected, abs=2e-6)
    return "segments: " in plan


async def search(
    stub: VectorSearchServiceAsyncStub, collection: str, query: FloatVector, options: SearchOptions
) -> tuple[dict[str, float], str]:
    """Return the scores by id, in the order of the answer, and the plan."""
    options.layout = MATCH_LAYOUT_COLUMNS
    packed = Query(vector=Vector(packed=query.astype("<f4").tobytes()))
    result = (await stub.Search(SearchRequest(collection=collection, query=packed, options=options))).result
    ids, ranked = result.columns.ids, np.frombuffer(result.columns.packed_scores, "<f4")
    assert len(ids) == len(set(ids))
    assert (np.diff(ranked) <= 0).all()
    return dict(zip(ids, ranked.tolist(), strict=True)), result.explanation.plan


def scores(collection: str, query: FloatVector, stored: dict[str, int]) -> dict[str, float]:
    """Score records by the definition of the collection's metric, in float64."""
    expected = ORACLES[collection](query.astype(np.float64), vectors(stored).astype(np.float64))
    return dict(zip(stored, expected.tolist(), strict=True))


def segment_directories(server: Any) -> list[Path]:
    return list(server.configuration.parent.glob("data/collections/*/segments"))


async def write_and_kill(server: Any, ledgers: list[Ledger], watch: SegmentWatch, choices: random.Random) -> int:
    """Let writers work until the server is killed, and return how many writes were answered."""
    answers = asyncio.Semaphore(0)
    directories = segment_directories(server)
    watching = asyncio.create_task(watch_segments(watch, directories))
    wanted = choices.randint(5, 120)
    async with connected(server.address) as stub, asyncio.TaskGroup() as writers:
        for ledger in ledgers:
            for writer in range(1, 1 + WRITERS):
                writers.create_task(write_until_it_dies(stub, ledger, writer, answers))
        for _ in range(wanted):
            await answers.acquire()
        await asyncio.sleep(choices.uniform(0, 0.2))
        server.kill()
    watching.cancel()
    for directory in directories:
        watch.look_at_what_is_left(directory)
    return wanted


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_kills_lose_no_acknowledged_write_and_bring_nothing_back(start_server: Any) -> None:
    choices = random.Random(20)
    ledgers = [Ledger(collection.name, choices) for collection in COLLECTIONS]
    watch, walked, answered = SegmentWatch(), set[str](), 0
    server = start_server(SETTINGS)
    async with connected(server.address) as stub:
        for collection in COLLECTIONS:
            await stub.CreateCollection(collection)
    for kill in range(1, 1 + KILLS):
        answered += await write_and_kill(server, ledgers, watch, choices)
        server = start_server(SETTINGS)
        async with connected(server.address) as stub:
            for ledger in ledgers:
                stored = await read_everything(stub, ledger.collection)
                ledger.settle(stored)
                if await check_searches(stub, ledger.collection, stored):
                    walked.add(ledger.collection)
        assert "segment dropped" not in server.log.read_text()
        if kill % 20 == 0:
            log.info("%d kills, at least %d writes answered; %s", kill, answered, watch)
    assert server.stop() == 0
    assert (set(watch.merged), walked) == (KINDS, KINDS - {"flat"})
