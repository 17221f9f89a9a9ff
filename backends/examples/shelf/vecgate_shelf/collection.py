"""A collection of the shelf: answered from memory, and written to its file before a write returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.contract import Collection, Everything, MetadataChanges, SearchOptions, Selector
from vecgate_backends.errors import StorageFullError, TokenInvalidError
from vecgate_backends.filters import Filter
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
from vecgate_shelf.files import Contents, read_file, replace_file

WHOLE = Fields(vector=True, encoding_stamp=True)
EVERY = 2**31
SEARCHABLE = Acknowledgement.SEARCHABLE

Answer = TypeVar("Answer", WriteResult, ChangeResult)


class ShelfCollection:
    """A collection in memory and in a file; see contract.Collection for what each method promises."""

    def __init__(self, inner: Collection, file: Path, identity: str, sequence: int) -> None:
        self._inner = inner
        self._file = file
        self._identity = identity
        self._sequence = sequence
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[Any]] = set()

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self._inner.spec

    async def size(self) -> CollectionSize:
        """Count records by namespace."""
        return await self._inner.size()

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records."""
        return await self._write(
            lambda: self._inner.upsert(namespace, batch, mode=mode, acknowledgement=acknowledgement)
        )

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Set and remove metadata fields."""
        return await self._write(
            lambda: self._inner.update_metadata(namespace, selector, changes, acknowledgement=acknowledgement)
        )

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove records; a dry run writes nothing."""
        if dry_run:
            return await self._inner.delete(namespace, selector, dry_run=True, acknowledgement=acknowledgement)
        return await self._write(
            lambda: self._inner.delete(namespace, selector, dry_run=False, acknowledgement=acknowledgement)
        )

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Find the nearest records."""
        await self._check(options.consistency_token)
        return await self._inner.search(namespace, queries, replace(options, consistency_token=None))

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id."""
        await self._check(consistency_token)
        return await self._inner.get(namespace, ids, fields)

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count records."""
        await self._check(consistency_token)
        return await self._inner.count(namespace, selector)

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
        """Page through records."""
        await self._check(consistency_token)
        return await self._inner.list_records(namespace, filter, cursor=cursor, limit=limit, fields=fields)

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the contract's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field."""
        await self._check(consistency_token)
        return await self._inner.field_stats(namespace, field, filter, limit=limit)

    async def save(self) -> None:
        """Write the file anew; it is on the disk when this returns."""
        contents = Contents(self.spec, self._identity, self._sequence, await _records_of(self._inner))
        await asyncio.to_thread(replace_file, self._file, contents)

    async def finish(self) -> None:
        """Wait for the writes under way."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _write(self, change: Callable[[], Awaitable[Answer]]) -> Answer:
        """Change memory, then the file. A caller who gives up does not keep the file from following."""
        task = asyncio.create_task(self._change_and_save(change))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _change_and_save(self, change: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._writing:
            answer = await change()
            self._sequence += 1
            try:
                await self.save()
            except OSError as error:
                await self._undo()
                raise StorageFullError(f"{self._file.name} cannot be written: {error.strerror}") from error
            return replace(answer, consistency_token=f"{self._identity}.{self._sequence}")

    async def _undo(self) -> None:
        """Return to what the file holds."""
        self._sequence -= 1
        contents = await asyncio.to_thread(read_file, self._file)
        for namespace in (await self._inner.size()).namespaces:
            await self._inner.delete(namespace, Everything(), dry_run=False, acknowledgement=SEARCHABLE)
        await fill(self._inner, contents)

    async def _check(self, token: str | None) -> None:
        await self._inner.size()  # raises if the collection was deleted or the backend closed
        identity, _, sequence = (token or "").partition(".")
        known = identity == self._identity and sequence.isascii() and sequence.isdigit()
        if token is not None and not (known and int(sequence) <= self._sequence):
            raise TokenInvalidError("the consistency token is damaged or of another collection")


async def fill(collection: Collection, contents: Contents) -> None:
    """Write what a file held into an empty collection."""
    for namespace, records in contents.namespaces.items():
        batch = RecordBatch(
            [record.id for record in records],
            np.stack([record.vector for record in records if record.vector is not None]),
            [record.text for record in records],
            [record.metadata for record in records],
            [record.encoding_stamp for record in records],
        )
        await collection.upsert(namespace, batch, mode=WriteMode.UPSERT, acknowledgement=SEARCHABLE)


async def _records_of(collection: Collection) -> dict[str, list[Record]]:
    namespaces: dict[str, list[Record]] = {}
    for namespace in (await collection.size()).namespaces:
        page = await collection.list_records(namespace, None, cursor=None, limit=EVERY, fields=Fields(metadata=False))
        found = await collection.get(namespace, [record.id for record in page.records], WHOLE)
        namespaces[namespace] = [record for record in found if record is not None]
    return namespaces
