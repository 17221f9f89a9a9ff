"""A collection of the Faiss backend: writes go to its writer, searches to its memory, and records are read from its truth."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, SearchOptions, Selector
from vecgate_backends.distribution import Distribution
from vecgate_backends.errors import DimensionMismatchError, TokenInvalidError, VecgateError
from vecgate_backends.faiss.block import record_ids
from vecgate_backends.faiss.catalogue import CatalogueEntry
from vecgate_backends.faiss.changes import Change
from vecgate_backends.faiss.consistency import ConsistencyToken
from vecgate_backends.faiss.loading import CollectionFiles, LoadedCollection, load_collection
from vecgate_backends.faiss.loading_progress import LoadingProgress
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.operations import DeleteRecords, UpdateRecordMetadata, UpsertRecords
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.reading import SlicedReader
from vecgate_backends.faiss.sealing import Sealer, SealSettings
from vecgate_backends.faiss.searcher import Searcher
from vecgate_backends.faiss.snapshotting import Captured, Snapshotter
from vecgate_backends.faiss.targets import targets_of
from vecgate_backends.faiss.threads import Threads
from vecgate_backends.faiss.writer import GroupCommitWriter
from vecgate_backends.filters import Filter
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSize,
    CollectionSpec,
    Fields,
    FloatMatrix,
    Record,
    RecordBatch,
    WriteMode,
)

SCANNED_SHARE = 0.01
"""Share of a namespace that must match for a filtered page to be read along the order of ids; below, the matches are sorted."""
DESCRIBED_INLINE = 4096
"""Distinct values of a field that are counted on the event loop, about 10 ms."""

_Step: TypeAlias = tuple[Partition, Sequence[Change], MetadataIndex | None]
"""A partition, what a commit changes in it, and what was prepared for that."""


class FaissCollection:
    """An open collection; see contract.Collection for what each method promises.

    Both acknowledgement levels are the same here: a write is answered once it is durable and searchable. A delete or an update by
    filter is about the records that match when it is called, and touches those of them that still match when it is committed.
    """

    def __init__(
        self,
        entry: CatalogueEntry,
        files: CollectionFiles,
        loaded: LoadedCollection,
        threads: Threads,
        sealing: SealSettings,
        sync_seconds: Distribution,
    ) -> None:
        self._entry = entry
        self._reader, self._connection = loaded.reader, loaded.connection
        self._partitions = loaded.partitions
        self._held = sum(map(len, self._partitions.values()))
        self._sequence = loaded.sequence
        self._ending: Callable[[], VecgateError] | None = None
        self._writer = GroupCommitWriter(
            files.truth, self._connection, self._reader, self._prepare, threads.turns, loaded.journaled_to, sync_seconds
        )
        self._records = SlicedReader(loaded.reader)
        self._threads = threads
        self._searcher = Searcher(entry.spec, self._records, threads)
        self._sealer = Sealer(entry.spec, files.segments, self._writer, sealing, threads)
        self._snapshotter = Snapshotter(
            entry.spec.name,
            files.snapshots,
            self._writer,
            threads.builders,
            lambda: Captured.of(self._partitions.values(), self._sequence),
            stale=loaded.read,
        )

    @classmethod
    async def open(
        cls,
        entry: CatalogueEntry,
        files: CollectionFiles,
        threads: Threads,
        sealing: SealSettings,
        progress: LoadingProgress,
        sync_seconds: Distribution,
    ) -> FaissCollection:
        """Load a collection and start its writer; `progress` is told how far that is, `sync_seconds` how long commits take.

        Raises:
            StorageCorruptError: its truth is missing or damaged.
        """
        loaded = await load_collection(entry, files, progress)
        collection = cls(entry, files, loaded, threads, sealing, sync_seconds)
        collection._writer.start()
        for partition in collection._partitions.values():
            collection._sealer.consider(partition)
        collection._snapshotter.consider(collection._held)
        return collection

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self._entry.spec

    @property
    def entry(self) -> CatalogueEntry:
        """Its row of the catalogue."""
        return self._entry

    @property
    def partitions(self) -> Sequence[Partition]:
        """What memory holds now, by namespace."""
        return list(self._partitions.values())

    async def follow(self, entry: CatalogueEntry) -> None:
        """Take over other settings of the index: searches heed them from here on, and what must be built anew will be."""
        self._entry = entry
        self._searcher.spec = entry.spec
        await self._sealer.follow(entry.spec, list(self._partitions.values()))

    def end(self, ending: Callable[[], VecgateError] | None) -> None:
        """Let every later call raise what `ending` makes; None takes that back."""
        self._ending = ending

    async def close(self, *, discarded: bool = False) -> None:
        """Finish queued writes, stop background work and close the files; `discarded` if these are to be removed."""
        await self._sealer.stop()
        await (self._snapshotter.abandon() if discarded else self._snapshotter.finish(self._held))
        await self._writer.stop()
        self._partitions.clear()  # its parts know each other, and the search for such garbage may leave them out
        self._reader.close()
        await asyncio.to_thread(self._connection.close)  # the last connection to close empties the write-ahead log

    async def settle(self) -> None:
        """Wait until no rebuild of the index is under way or due, and no snapshot is being written."""
        await self._sealer.settle()
        await self._snapshotter.settle()

    async def size(self) -> CollectionSize:
        """Count records by namespace."""
        self._require(None)
        return CollectionSize({name: len(held) for name, held in sorted(self._partitions.items()) if len(held)})

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records in the batch's order."""
        del acknowledgement  # both levels are the same here
        expected = (len(batch.ids), self.spec.dimension)
        if batch.vectors.shape != expected:
            raise DimensionMismatchError(f"vectors are of shape {batch.vectors.shape}, not {expected}")
        async with self._sealer.room(partial(self._partition, namespace), len(batch.ids)):
            self._require(None)
            committed = await self._writer.submit(UpsertRecords(namespace, batch, mode, self.spec.metric))
        return WriteResult(committed.value, searchable=True, consistency_token=self._token(committed.sequence))

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Set and remove metadata fields of the selected records."""
        del acknowledgement  # both levels are the same here
        self._require(None)
        targets = await targets_of(selector, partial(self._partition, namespace))
        committed = await self._writer.submit(UpdateRecordMetadata(namespace, targets, changes))
        return ChangeResult(committed.value, searchable=True, consistency_token=self._token(committed.sequence))

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove the selected records; with `dry_run` only count them, and answer no token."""
        del acknowledgement  # both levels are the same here
        if dry_run:
            return ChangeResult(await self.count(namespace, selector), searchable=True, consistency_token="")
        self._require(None)
        committed = await self._writer.submit(
            DeleteRecords(namespace, await targets_of(selector, partial(self._partition, namespace)))
        )
        return ChangeResult(committed.value, searchable=True, consistency_token=self._token(committed.sequence))

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Find the nearest records to each query."""
        self._require(options.consistency_token)
        if queries.ndim != 2 or queries.shape[1] != self.spec.dimension:
            raise DimensionMismatchError(f"queries are of shape {queries.shape}, not (n, {self.spec.dimension})")
        return await self._searcher.search(self._partition(namespace), queries, options)

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id."""
        self._require(consistency_token)
        found = await self._records.by_id(namespace, ids, fields) if len(self._partition(namespace)) else {}
        return [found.get(record_id) for record_id in ids]

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count the selected records."""
        self._require(consistency_token)
        match selector:
            case ByIds(ids):
                return len(await self._records.by_id(namespace, ids, IDS_ONLY))
            case ByFilter(node):
                return len(self._partition(namespace).metadata.resolve(node))
            case Everything():
                return len(self._partition(namespace))

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
        """Page through records in the order of their ids; the cursor is the last id of the page before."""
        self._require(consistency_token)
        if filter is not None:
            partition = self._partition(namespace)
            matching = partition.metadata.matching(filter)
            if len(matching) < SCANNED_SHARE * len(partition):
                ids = record_ids(partition.blocks(), matching)
                return await self._records.page_of(namespace, ids, cursor, limit, fields)
        return await self._records.page(namespace, filter, cursor, limit, fields)

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field over the records that match."""
        self._require(consistency_token)
        selection = self._partition(namespace).metadata.selection(field, filter)
        if len(selection.index) <= DESCRIBED_INLINE:
            return selection.describe(limit)
        return await asyncio.get_running_loop().run_in_executor(self._threads.searchers, selection.describe, limit)

    def _require(self, token: str | None) -> None:
        """Raise what `end` was told, or TokenInvalidError for a token that this collection never gave."""
        if self._ending is not None:
            raise self._ending()
        if token is not None:
            claimed = ConsistencyToken.decode(token)
            # A token is given once its commit is applied, so a greater number was never given.
            if claimed.uid != self._entry.uid or claimed.sequence > self._sequence:
                raise TokenInvalidError("the consistency token is of another collection")

    def _token(self, sequence: int) -> str:
        return ConsistencyToken(self._entry.uid, sequence).encode()

    def _partition(self, namespace: str) -> Partition:
        found = self._partitions.get(namespace)
        return Partition(namespace, self.spec.dimension) if found is None else found

    def _prepare(self, changes: Sequence[Change], sequence: int) -> Callable[[], None]:
        """Do what can be done on the writer's thread to let memory follow a commit, and return the rest."""
        touched: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            touched[change.namespace].append(change)
        steps: list[_Step] = []
        for namespace, own in touched.items():
            partition = self._partition(namespace)
            steps.append((partition, own, partition.prepare(own)))
        return partial(self._apply, steps, sequence)

    def _apply(self, steps: Sequence[_Step], sequence: int) -> None:
        """Let memory follow a commit."""
        for partition, changes, prepared in steps:
            self._partitions[partition.namespace] = partition
            self._held -= len(partition)
            partition.apply(changes, prepared)
            self._held += len(partition)
        self._sequence = sequence
        for partition, changes, _ in steps:
            self._sealer.consider(partition)
            self._snapshotter.follow(changes)
        self._snapshotter.consider(self._held)
