"""A collection at Pinecone: one index, one namespace of it for each of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, SearchOptions, Selector
from vecgate_backends.errors import DimensionMismatchError, VecgateError
from vecgate_backends.field_statistics import describe_field
from vecgate_backends.filters import Filter
from vecgate_backends.pinecone.calls_under_way import CallsUnderWay
from vecgate_backends.pinecone.consistency import ConsistencyToken
from vecgate_backends.pinecone.identifiers import vendor_id, vendor_namespace
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.listing import Lister
from vecgate_backends.pinecone.options import PineconeOptions
from vecgate_backends.pinecone.record_codec import EncodedRecord, StoredRecord, encode_record
from vecgate_backends.pinecone.scan import Scanner
from vecgate_backends.pinecone.searcher import Searcher
from vecgate_backends.pinecone.settings_record import Settings
from vecgate_backends.pinecone.visibility import Visibility
from vecgate_backends.pinecone.writer import Writer, encode_batch, mode_fault, write_number
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

WHOLE = Fields(vector=True, encoding_stamp=True)


class PineconeCollection:
    """A collection in an index of its own; see contract.Collection for what each method promises."""

    def __init__(self, settings: Settings, requests: IndexRequests, options: PineconeOptions) -> None:
        spec = settings.spec
        self.settings = settings
        self._requests = requests
        self._visibility = Visibility(requests, settings.identity, spec.dimension, options.visible_seconds)
        self._scanner = Scanner(requests, options.max_scan_records)
        self._searcher = Searcher(requests, self._scanner, spec.metric)
        self._lister = Lister(requests)
        self._writer = Writer(requests, self._visibility, settings.identity)
        self._calls = CallsUnderWay()

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self.settings.spec

    async def end(self, ending: Callable[[], VecgateError]) -> None:
        """Let every later call raise what `ending` makes, finish the calls under way, and close the connections."""
        await self._calls.end(ending)
        await self._requests.close()

    async def size(self) -> CollectionSize:
        """Count records by namespace, as Pinecone's statistics tell."""
        async with self._calls.one():
            return CollectionSize(await self._requests.counts())

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records; of one id in a batch the one that stands in the end is sent."""
        async with self._calls.one():
            expected = (len(batch.ids), self.spec.dimension)
            if batch.vectors.shape != expected:
                raise DimensionMismatchError(f"vectors are of shape {batch.vectors.shape}, not {expected}")
            encoded = await asyncio.to_thread(encode_batch, batch, self.spec.metric, write_number())
            place = vendor_namespace(namespace)
            errors: list[VecgateError | None] = [each if isinstance(each, VecgateError) else None for each in encoded]
            async with self._room_for(mode, place):
                chosen = await self._chosen(place, batch.ids, encoded, errors, mode)
                stored = await self._writer.store(place, list(chosen.values()))
            for row, each in enumerate(encoded):
                if errors[row] is None and isinstance(each, EncodedRecord):
                    errors[row] = stored.faults.get(each.id)
            return WriteResult(errors, await self._seen(stored.token, acknowledgement), stored.token.encode())

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Read the selected records, change them, and write them whole; the first that Pinecone cannot hold refuses all."""
        async with self._calls.one():
            place = vendor_namespace(namespace)
            async with self._writer.alone(place):
                selected = [record async for record in self._selected(place, selector)]
                changed = await asyncio.to_thread(self._changed, selected, changes)
                stored = await self._writer.store(place, changed)
            if stored.faults:
                raise next(iter(stored.faults.values()))
            searchable = await self._seen(stored.token, acknowledgement)
            return ChangeResult(len(selected), searchable, stored.token.encode())

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove the selected records; with `dry_run` only count them, and answer no token."""
        del acknowledgement  # a delete is waited for at every level: Pinecone tells no other token of it
        async with self._calls.one():
            place = vendor_namespace(namespace)
            async with self._writer.alone(place):
                ids = await self._selected_ids(place, selector)
                if dry_run:
                    return ChangeResult(len(ids), searchable=True, consistency_token="")
                everything = isinstance(selector, Everything)
                token = await self._writer.remove(place, ids, everything=everything)
            return ChangeResult(len(ids), bool(token.lsn) or not ids, token.encode())

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Find the nearest records to each query."""
        async with self._calls.one():
            if queries.ndim != 2 or queries.shape[1] != self.spec.dimension:
                raise DimensionMismatchError(f"queries are of shape {queries.shape}, not (n, {self.spec.dimension})")
            await self._visibility.require(self._visibility.read_token(options.consistency_token))
            return await self._searcher.search(vendor_namespace(namespace), queries, options)

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id."""
        async with self._read(consistency_token):
            names = [vendor_id(record_id) for record_id in ids]
            found = await self._requests.fetch(vendor_namespace(namespace), names)
            return [found[name].record(fields) if name in found else None for name in names]

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count the selected records; all of them by Pinecone's statistics, or one by one where a token asks for certainty."""
        async with self._read(consistency_token):
            if isinstance(selector, Everything) and consistency_token is None:
                return (await self._requests.counts()).get(namespace, 0)
            return len(await self._selected_ids(vendor_namespace(namespace), selector))

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
        """Page through records in Pinecone's order of ids."""
        async with self._read(consistency_token):
            return await self._lister.page(vendor_namespace(namespace), filter, cursor, limit, fields)

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field over the records that match, read one by one."""
        async with self._read(consistency_token):
            found = self._scanner.matching(vendor_namespace(namespace), filter)
            return describe_field([record.metadata async for record in found], field, limit)

    @asynccontextmanager
    async def _read(self, consistency_token: str | None) -> AsyncIterator[None]:
        """Hold a read open once what its token asks is seen by fetches too."""
        async with self._calls.one():
            await self._visibility.require(self._visibility.read_token(consistency_token))
            yield

    @asynccontextmanager
    async def _room_for(self, mode: WriteMode, place: str) -> AsyncIterator[None]:
        hold = self._writer.beside_others if mode is WriteMode.UPSERT else self._writer.alone
        async with hold(place):
            yield

    async def _chosen(
        self,
        place: str,
        ids: Sequence[str],
        encoded: Sequence[EncodedRecord | VecgateError],
        errors: list[VecgateError | None],
        mode: WriteMode,
    ) -> dict[str, EncodedRecord]:
        """Apply the mode in the batch's order: fill in the errors, and return what is to be stored, by Pinecone's id."""
        good = [each for each in encoded if isinstance(each, EncodedRecord)]
        present: set[str] = set()
        if mode is not WriteMode.UPSERT:
            present = await self._writer.present(place, [each.id for each in good])
        chosen: dict[str, EncodedRecord] = {}
        for row, each in enumerate(encoded):
            if isinstance(each, VecgateError):
                continue
            errors[row] = mode_fault(mode, ids[row], each.id in present or each.id in chosen)
            if errors[row] is None:
                chosen[each.id] = each
        return chosen

    async def _selected(self, place: str, selector: Selector) -> AsyncIterator[StoredRecord]:
        match selector:
            case ByIds(ids):
                for record in (await self._requests.fetch(place, [vendor_id(each) for each in ids])).values():
                    yield record
            case ByFilter(node):
                async for record in self._scanner.matching(place, node):
                    yield record
            case Everything():
                async for record in self._scanner.matching(place, None):
                    yield record

    async def _selected_ids(self, place: str, selector: Selector) -> list[str]:
        if isinstance(selector, Everything):
            return await self._scanner.ids(place)
        return [record.vendor_id async for record in self._selected(place, selector)]

    def _changed(self, records: Sequence[StoredRecord], changes: MetadataChanges) -> list[EncodedRecord]:
        write = write_number()
        changed: list[EncodedRecord] = []
        for stored in records:
            record = stored.record(WHOLE)
            kept = {name: value for name, value in record.metadata.items() if name not in changes.remove}
            record = replace(record, metadata=kept | dict(changes.set))
            changed.append(encode_record(record, metric=self.spec.metric, write=write))
        return changed

    async def _seen(self, token: ConsistencyToken, acknowledgement: Acknowledgement) -> bool:
        if acknowledgement is Acknowledgement.DURABLE:
            return not token.witness
        return await self._writer.searchable(token)
