"""kill -9 in the middle of concurrent writes: what was acknowledged is there, once and whole, and nothing else is.

Records are a function of their id and version, so that whatever is stored can be checked to the last bit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc.aio
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.metadata_pb2 import StringList, Value
from vecgate.v1.read_pb2 import CountRequest, ListRequest
from vecgate.v1.record_pb2 import MetadataFields, Record, ReturnFields
from vecgate.v1.search_pb2 import MATCH_LAYOUT_COLUMNS, Query, SearchOptions, SearchParameters, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import DeleteRequest, UpsertRequest

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

KILLS = 20
WRITERS = 6
DIMENSION = 8
COLLECTION = "ledger"
EVERYTHING = ReturnFields(text=True, metadata=MetadataFields(all=True), vector=True)
# A small threshold, so that sealing runs while the process is killed.
SETTINGS: dict[str, Any] = {
    "models": {"preload": []},
    "backends": {"faiss": {"kind": "faiss", "options": {"path": "./data", "seal_threshold": 200}}},
}
DELETED = 0
"""The version of a record that is not there."""


def record(identifier: str, version: int) -> Record:
    random_numbers = np.random.default_rng([int(identifier), version])
    return Record(
        id=identifier,
        text=f"text {version} of {identifier}",
        vector=Vector(packed=random_numbers.standard_normal(DIMENSION).astype("<f4").tobytes()),
        metadata={
            "version": Value(int_value=version),
            "half": Value(double_value=version / 2),
            "odd": Value(bool_value=version % 2 == 1),
            "when": Value(timestamp_value=Timestamp(seconds=version, nanos=1)),
            "tags": Value(string_list_value=StringList(values=[identifier, str(version)])),
        },
    )


@dataclass
class Ledger:
    """What each record may be: the version last acknowledged, and those of writes whose answer never came."""

    choices: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, set[int]] = field(default_factory=dict)
    answers: int = 0
    versions: int = 0
    enough: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def next_version(self) -> int:
        self.versions += 1
        return self.versions

    async def write(self, stub: VectorSearchServiceAsyncStub, ids: list[str]) -> None:
        """Store a version of some records, or now and then delete them."""
        version = DELETED if self.choices.random() < 0.2 else self.next_version()
        for identifier in ids:
            self.unanswered.setdefault(identifier, set()).add(version)
        if version == DELETED:
            selector = Selector(ids=IdList(ids=ids))
            await stub.Delete(DeleteRequest(collection=COLLECTION, selector=selector))
        else:
            records = [record(identifier, version) for identifier in ids]
            response = await stub.Upsert(UpsertRequest(collection=COLLECTION, records=records))
            assert response.failed_count == 0
        for identifier in ids:
            self.acknowledged[identifier] = version
            self.unanswered[identifier].discard(version)
        self.answers += 1
        if self.answers == self.enough:
            self.reached.set()

    def expect_answers(self, more: int) -> asyncio.Event:
        """Return an event that is set when so many more writes have been answered."""
        self.enough, self.reached = self.answers + more, asyncio.Event()
        return self.reached

    def settle(self, stored: dict[str, int]) -> None:
        """Check every record against what it may be; from now on it is what it is."""
        for identifier, unanswered in self.unanswered.items():
            version = stored.get(identifier, DELETED)
            assert version in unanswered | {self.acknowledged.get(identifier, DELETED)}, identifier
            self.acknowledged[identifier] = version
        self.unanswered = {}
        assert stored.keys() == {key for key, version in self.acknowledged.items() if version != DELETED}


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


async def write_until_it_dies(stub: VectorSearchServiceAsyncStub, ledger: Ledger, writer: int) -> None:
    """Write to the writer's own ids, so that the order of its writes is known."""
    own = [f"{writer}{number:03}" for number in range(150)]
    try:
        while True:
            await ledger.write(stub, ledger.choices.sample(own, ledger.choices.randint(1, 20)))
    except grpc.aio.AioRpcError as gone:
        if gone.code() is not grpc.StatusCode.UNAVAILABLE:
            raise


async def read_everything(stub: VectorSearchServiceAsyncStub) -> dict[str, int]:
    """Page through all records, each equal to what its id and version say, and return their versions."""
    stored: dict[str, int] = {}
    token = ""
    while True:
        page = await stub.List(ListRequest(collection=COLLECTION, page_size=97, page_token=token, fields=EVERYTHING))
        for found in page.records:
            assert found.id not in stored
            stored[found.id] = found.metadata["version"].int_value
            assert found == record(found.id, stored[found.id])
        token = page.next_page_token
        if not token:
            return stored


async def check_searches(stub: VectorSearchServiceAsyncStub, stored: dict[str, int]) -> None:
    """Every stored record, and no other, is counted and found once."""
    assert (await stub.Count(CountRequest(collection=COLLECTION))).count == len(stored)
    options = SearchOptions(
        top_k=len(stored) + 10, layout=MATCH_LAYOUT_COLUMNS, parameters=SearchParameters(exact=True)
    )
    query = Query(vector=record("1", 1).vector)
    answer = await stub.Search(SearchRequest(collection=COLLECTION, query=query, options=options))
    assert sorted(answer.result.columns.ids) == sorted(stored)


@pytest.mark.timeout(600)
async def test_twenty_kills_lose_no_acknowledged_write_and_bring_nothing_back(start_server: Any) -> None:
    ledger = Ledger(random.Random(20))
    server = start_server(SETTINGS)
    async with connected(server.address) as stub:
        unbound = CreateCollectionRequest(name=COLLECTION, unbound=Unbound(dimension=DIMENSION))
        await stub.CreateCollection(unbound)
    for _ in range(KILLS):
        async with connected(server.address) as stub:
            enough = ledger.expect_answers(ledger.choices.randint(5, 80))
            async with asyncio.TaskGroup() as writers:
                for writer in range(WRITERS):
                    writers.create_task(write_until_it_dies(stub, ledger, 1 + writer))
                await enough.wait()
                server.kill()
        server = start_server(SETTINGS)
        async with connected(server.address) as stub:
            stored = await read_everything(stub)
            ledger.settle(stored)
            await check_searches(stub, stored)
    assert ledger.answers >= KILLS * 5
    assert server.stop() == 0
