"""What a collection may hold while its server is killed again and again, and whether it does.

Records are a function of their id and version, so that whatever is stored can be checked to the last bit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from vecgate.v1.filter_pb2 import Filter, IdList, Selector
from vecgate.v1.metadata_pb2 import StringList, Value
from vecgate.v1.read_pb2 import ListRequest
from vecgate.v1.record_pb2 import MetadataFields, Record, ReturnFields
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import DeleteRequest, UpsertRequest
from vecgate_backends.records import FloatMatrix, FloatVector

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

DIMENSION = 8
EVERYTHING = ReturnFields(text=True, metadata=MetadataFields(all=True), vector=True)
PAGE = 970
DELETED = 0
"""The version of a record that is not there."""
OWN = 600
"""Records of one writer."""
BATCH = 120


def vector(identifier: str, version: int) -> FloatVector:
    """Return the vector of a record, shape (DIMENSION,)."""
    return np.random.default_rng([int(identifier), version]).standard_normal(DIMENSION, np.float32)


def record(identifier: str, version: int) -> Record:
    """Return a record: its id says whose it is, "<writer><number>"."""
    return Record(
        id=identifier,
        text=f"text {version} of {identifier}",
        vector=Vector(packed=vector(identifier, version).astype("<f4").tobytes()),
        metadata={
            "version": Value(int_value=version),
            "writer": Value(int_value=int(identifier[0])),
            "half": Value(double_value=version / 2),
            "odd": Value(bool_value=version % 2 == 1),
            "when": Value(timestamp_value=Timestamp(seconds=version, nanos=1)),
            "tags": Value(string_list_value=StringList(values=[identifier, str(version)])),
        },
    )


def vectors(stored: Mapping[str, int]) -> FloatMatrix:
    """Return the vectors of records by their versions, a row a record."""
    rows = [vector(identifier, version) for identifier, version in stored.items()]
    return np.stack(rows) if rows else np.empty((0, DIMENSION), np.float32)


@dataclass
class Ledger:
    """What each record of a collection may be: the version last acknowledged, and those of writes whose answer never came."""

    collection: str
    choices: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, set[int]] = field(default_factory=dict)
    versions: int = 0

    async def write(self, stub: VectorSearchServiceAsyncStub, writer: int) -> None:
        """Write to the records of one writer, of which only that one writes, so that the order of the writes is known."""
        own = [f"{writer}{number:03}" for number in range(OWN)]
        missing = [identifier for identifier in own if not self.acknowledged.get(identifier)]
        chosen = self.choices.random()
        if chosen < 0.02:
            await self._delete_older(stub, writer)
        elif chosen < 0.15:
            await self._delete(stub, self.choices.sample(own, self.choices.randint(1, 20)))
        elif chosen < 0.6 and missing:
            await self._put(stub, missing[: self.choices.randint(1, BATCH)])
        else:
            await self._put(stub, self.choices.sample(own, self.choices.randint(1, BATCH)))

    def settle(self, stored: Mapping[str, int]) -> None:
        """Check every record against what it may be; from now on it is what it is."""
        for identifier, unanswered in self.unanswered.items():
            version = stored.get(identifier, DELETED)
            assert version in unanswered | {self.acknowledged.get(identifier, DELETED)}, identifier
            self.acknowledged[identifier] = version
        self.unanswered = {}
        expected = {identifier: version for identifier, version in self.acknowledged.items() if version != DELETED}
        assert stored == expected

    async def _put(self, stub: VectorSearchServiceAsyncStub, ids: Sequence[str]) -> None:
        self.versions += 1
        version = self.versions
        self._begin(ids, version)
        records = [record(identifier, version) for identifier in ids]
        answer = await stub.Upsert(UpsertRequest(collection=self.collection, records=records))
        assert (answer.stored_count, answer.failed_count) == (len(ids), 0)
        self._end(ids, version)

    async def _delete(self, stub: VectorSearchServiceAsyncStub, ids: Sequence[str]) -> None:
        self._begin(ids, DELETED)
        there = sum(self.acknowledged.get(identifier, DELETED) != DELETED for identifier in ids)
        answer = await stub.Delete(DeleteRequest(collection=self.collection, selector=Selector(ids=IdList(ids=ids))))
        assert answer.deleted_count == there
        self._end(ids, DELETED)

    async def _delete_older(self, stub: VectorSearchServiceAsyncStub, writer: int) -> None:
        """Delete by a filter what the writer wrote before one of its versions."""
        own = {identifier: version for identifier, version in self.acknowledged.items() if int(identifier[0]) == writer}
        bound = self.choices.choice([1, *own.values()])
        ids = [identifier for identifier, version in own.items() if DELETED < version < bound]
        self._begin(ids, DELETED)
        expression = Filter(expression=f"writer = {writer} AND version < {bound}")
        answer = await stub.Delete(DeleteRequest(collection=self.collection, selector=Selector(filter=expression)))
        assert answer.deleted_count == len(ids)
        self._end(ids, DELETED)

    def _begin(self, ids: Sequence[str], version: int) -> None:
        for identifier in ids:
            self.unanswered.setdefault(identifier, set()).add(version)

    def _end(self, ids: Sequence[str], version: int) -> None:
        for identifier in ids:
            self.acknowledged[identifier] = version
            self.unanswered[identifier].discard(version)


async def read_everything(stub: VectorSearchServiceAsyncStub, collection: str) -> dict[str, int]:
    """Page through all records, each equal to what its id and version say, and return their versions."""
    stored: dict[str, int] = {}
    token = ""
    while True:
        page = await stub.List(ListRequest(collection=collection, page_size=PAGE, page_token=token, fields=EVERYTHING))
        for found in page.records:
            assert found.id not in stored
            stored[found.id] = found.metadata["version"].int_value
            assert found == record(found.id, stored[found.id])
        token = page.next_page_token
        if not token:
            return stored
