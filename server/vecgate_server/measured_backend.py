"""Backends and collections with every operation counted: how long it took, and how it failed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from time import perf_counter_ns
from typing import TypeVar

from typing_extensions import override

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import Backend, Collection, MetadataChanges, SearchOptions, Selector
from vecgate_backends.distribution import Distribution
from vecgate_backends.errors import VecgateError
from vecgate_backends.filters import Filter
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSize,
    CollectionSpec,
    Fields,
    FloatMatrix,
    IndexConfig,
    Record,
    RecordBatch,
    WriteMode,
)
from vecgate_server.call_clock import clock_under_way
from vecgate_server.status import status_code

Answer = TypeVar("Answer")

OPERATIONS = (
    *("search", "get", "count", "list_records", "field_stats", "size", "upsert", "update_metadata", "delete"),
    *("collection", "create_collection", "update_collection", "delete_collection", "list_collections", "check"),
)
"""The methods of contract.Collection and contract.Backend that are counted."""
SECONDS_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
FIRST_CODES = ("UNAVAILABLE", "INTERNAL")
"""Errors that are counted as 0 from the start, so that the first of them is seen as an increase."""


class BackendMeter:
    """Counts the operations of one backend.

    Attributes:
        backend: its name.
        seconds: how long they took, by operation.
        errors: how many failed, by operation and the name of the status that the error has.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.seconds: Mapping[str, Distribution] = {name: Distribution(SECONDS_BOUNDS) for name in OPERATIONS}
        self.errors = Counter({(name, code): 0 for name in OPERATIONS for code in FIRST_CODES})

    async def measure(self, operation: str, work: Awaitable[Answer]) -> Answer:
        """Await an operation, and count it for the backend and for the call that is being answered."""
        began = perf_counter_ns()
        try:
            return await work
        except BaseException as fault:
            self.errors[operation, _code(fault)] += 1
            raise
        finally:
            ended = perf_counter_ns()
            self.seconds[operation].add((ended - began) / 1e9)
            if (clock := clock_under_way()) is not None:
                clock.backend_worked(self.backend, operation, began, ended)


class MeasuredCollection(Collection):
    """A collection whose operations are counted; each does what it does there."""

    __slots__ = ("_measure", "_measured")

    def __init__(self, collection: Collection, meter: BackendMeter) -> None:
        self._measured = collection
        self._measure = meter.measure

    @property
    @override
    def spec(self) -> CollectionSpec:
        return self._measured.spec

    @override
    async def size(self) -> CollectionSize:
        return await self._measure("size", self._measured.size())

    @override
    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        return await self._measure(
            "upsert", self._measured.upsert(namespace, batch, mode=mode, acknowledgement=acknowledgement)
        )

    @override
    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        return await self._measure(
            "update_metadata",
            self._measured.update_metadata(namespace, selector, changes, acknowledgement=acknowledgement),
        )

    @override
    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        return await self._measure(
            "delete", self._measured.delete(namespace, selector, dry_run=dry_run, acknowledgement=acknowledgement)
        )

    @override
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        return await self._measure("search", self._measured.search(namespace, queries, options))

    @override
    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        return await self._measure(
            "get", self._measured.get(namespace, ids, fields, consistency_token=consistency_token)
        )

    @override
    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        return await self._measure(
            "count", self._measured.count(namespace, selector, consistency_token=consistency_token)
        )

    @override
    async def list_records(
        self,
        namespace: str,
        filter: Filter | None,
        *,
        cursor: str | None,
        limit: int,
        fields: Fields,
        consistency_token: str | None = None,
    ) -> Page:
        return await self._measure(
            "list_records",
            self._measured.list_records(
                namespace, filter, cursor=cursor, limit=limit, fields=fields, consistency_token=consistency_token
            ),
        )

    @override
    async def field_stats(
        self, namespace: str, field: str, filter: Filter | None, *, limit: int, consistency_token: str | None = None
    ) -> FieldStats:
        return await self._measure(
            "field_stats",
            self._measured.field_stats(namespace, field, filter, limit=limit, consistency_token=consistency_token),
        )


class MeasuredBackend:
    """An open backend whose operations are counted; each does what it does there."""

    def __init__(self, backend: Backend, meter: BackendMeter) -> None:
        self._measured = backend
        self._meter = meter

    async def check(self) -> None:
        """See contract.Backend.check."""
        await self._meter.measure("check", self._measured.check())

    async def create_collection(self, spec: CollectionSpec) -> None:
        """See contract.Backend.create_collection."""
        await self._meter.measure("create_collection", self._measured.create_collection(spec))

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """See contract.Backend.update_collection."""
        return await self._meter.measure("update_collection", self._measured.update_collection(name, index))

    async def collection(self, name: str) -> MeasuredCollection:
        """See contract.Backend.collection."""
        opened = await self._meter.measure("collection", self._measured.collection(name))
        return MeasuredCollection(opened, self._meter)

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """See contract.Backend.list_collections."""
        return await self._meter.measure("list_collections", self._measured.list_collections())

    async def delete_collection(self, name: str) -> None:
        """See contract.Backend.delete_collection."""
        await self._meter.measure("delete_collection", self._measured.delete_collection(name))


def _code(fault: BaseException) -> str:
    if isinstance(fault, VecgateError):
        name: str = status_code(type(fault)).name
        return name
    return "CANCELLED" if isinstance(fault, asyncio.CancelledError) else "INTERNAL"
