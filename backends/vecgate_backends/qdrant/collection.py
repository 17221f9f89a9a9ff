"""A collection of the Qdrant backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, SearchOptions, Selector
from vecgate_backends.errors import DimensionMismatchError
from vecgate_backends.filters import Filter
from vecgate_backends.qdrant.engine import Engine
from vecgate_backends.qdrant.filter_translation import in_namespace
from vecgate_backends.qdrant.payload import encode_changes
from vecgate_backends.qdrant.reader import Reader
from vecgate_backends.qdrant.searcher import Searcher
from vecgate_backends.qdrant.tokens import write_token
from vecgate_backends.qdrant.writer import Writer
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSize,
    CollectionSpec,
    Fields,
    FloatMatrix,
    Record,
    RecordBatch,
    WriteMode,
)


class QdrantCollection:
    """A collection in Qdrant; see contract.Collection for what each method promises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._searcher = Searcher(engine)
        self._writer = Writer(engine, self._reader)

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self._engine.spec

    @property
    def engine(self) -> Engine:
        """The Qdrant collection behind it."""
        return self._engine

    async def size(self) -> CollectionSize:
        """Count records by namespace."""
        await self._engine.require()
        return await self._reader.size()

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records, in parts; if a later part fails, its records fail and those of the earlier ones are stored."""
        del acknowledgement  # Qdrant is always asked to wait until the write is applied, which is both
        async with self._engine.connection.writing():
            await self._engine.require()
            expected = (len(batch.ids), self.spec.dimension)
            if batch.vectors.shape != expected:
                raise DimensionMismatchError(f"vectors are of shape {batch.vectors.shape}, not {expected}")
            if not len(batch.ids) == len(batch.texts) == len(batch.metadata):
                raise ValueError("the columns of a batch are of one length")
            return await self._writer.upsert(namespace, batch, mode)

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Set and remove metadata fields of the selected records, as one write to Qdrant."""
        del acknowledgement  # as in upsert
        async with self._engine.connection.writing():
            await self._engine.require()
            condition = self._condition(namespace, selector)
            matched = await self._reader.count(namespace, condition)
            payload = encode_changes(changes.set, changes.remove)
            applied = True
            if matched and payload:
                name = self._engine.name
                applied = await self._engine.write(
                    lambda client: client.set_payload(name, payload=payload, points=condition, wait=True)
                )
            return self._changed(matched, applied=applied)

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove the selected records, as one write to Qdrant; they are counted just before."""
        del acknowledgement  # as in upsert
        async with self._engine.connection.writing():
            await self._engine.require()
            condition = self._condition(namespace, selector)
            matched = await self._reader.count(namespace, condition)
            if dry_run:
                return ChangeResult(matched, searchable=True, consistency_token="")
            applied = True
            if matched:
                name, chosen = self._engine.name, models.FilterSelector(filter=condition)
                applied = await self._engine.write(
                    lambda client: client.delete(name, points_selector=chosen, wait=True)
                )
            return self._changed(matched, applied=applied)

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Find the nearest records to each query."""
        await self._engine.require(options.consistency_token)
        if queries.ndim != 2 or queries.shape[1] != self.spec.dimension:
            raise DimensionMismatchError(f"queries are of shape {queries.shape}, not (n, {self.spec.dimension})")
        return await self._searcher.search(namespace, queries, options)

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id."""
        await self._engine.require(consistency_token)
        return await self._reader.get(namespace, ids, fields)

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count the selected records."""
        await self._engine.require(consistency_token)
        return await self._reader.count(namespace, self._condition(namespace, selector))

    async def list_records(
        self,
        namespace: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        cursor: str | None,
        limit: int,
        fields: Fields,
        consistency_token: str | None = None,
    ) -> Page:
        """Page through records in the order of their points' ids."""
        await self._engine.require(consistency_token)
        return await self._reader.page(namespace, filter, cursor=cursor, limit=limit, fields=fields)

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field over the records that match; reads it of all of them."""
        await self._engine.require(consistency_token)
        return await self._reader.field_stats(namespace, field, filter, limit)

    def _condition(self, namespace: str, selector: Selector) -> models.Filter:
        identity = self._engine.identity
        own = identity.namespace(namespace)
        match selector:
            case ByIds(ids):
                points: list[Any] = [identity.point_id(namespace, record_id) for record_id in dict.fromkeys(ids)]
                return in_namespace(own, None, models.HasIdCondition(has_id=points))
            case ByFilter(node):
                self._engine.serve_filter(node)
                return in_namespace(own, node)
            case Everything():
                return in_namespace(own)

    def _changed(self, matched: int, *, applied: bool) -> ChangeResult:
        return ChangeResult(matched, applied, write_token(self._engine.identity, applied=applied))
