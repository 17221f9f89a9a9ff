"""What was deleted or replaced takes no room for long, neither on disk nor in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, SearchOptions, Selector
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss import writer as writer_module
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.filters import Exists
from vecgate_backends.records import IDS_ONLY, Acknowledgement, CollectionSpec, FlatIndex, HnswIndex, IndexConfig

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 128
DIMENSION = 16
BATCH = 100
IDS = [f"r{number:04}" for number in range(1200)]
ROUNDS = 10
MOST = 1.3
WAYS: dict[str, list[Selector]] = {
    "all at once": [Everything()],
    "by filter": [ByFilter(Exists("n"))],
    "by ids": [ByIds(tuple(IDS[begin : begin + BATCH])) for begin in range(0, len(IDS), BATCH)],
    "by replacing it": [],
}


@dataclass(frozen=True)
class Size:
    """What a collection takes: bytes on disk; bytes of its arrays in memory, columns of metadata among them; rows there, dead ones too; bytes of bitmaps of metadata."""

    disk: int
    arrays: int
    rows: int
    bitmaps: int


def size_of(directory: Path, collection: FaissCollection) -> Size:
    partition = collection._partition("")
    blocks = [segment.block for segment in partition.segments]
    arrays = [array for block in blocks for array in (block.internal_ids, block.vectors, block.norms, block.live)]
    chunks = partition.head._chunks
    arrays.extend(
        array for chunk in chunks for array in (chunk._internal_ids, chunk._vectors, chunk._norms, chunk._live)
    )
    bitmaps = [partition.metadata._everything]
    for field in partition.metadata._fields.values():
        bitmaps.append(field.having)
        bitmaps.extend(postings for postings in field.postings.values() if not isinstance(postings, int))
        for column in field.columns.values():
            arrays.extend([column.values, column.internal_ids])
    return Size(
        disk=sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
        arrays=sum(array.nbytes for array in arrays),
        rows=sum(len(block.record_ids) for block in blocks) + sum(len(chunk._record_ids) for chunk in chunks),
        bitmaps=sum(len(bitmap.serialize()) for bitmap in bitmaps),
    )


async def put_all(collection: FaissCollection, put: Put) -> None:
    for begin in range(0, len(IDS), BATCH):
        part = IDS[begin : begin + BATCH]
        await put(
            collection, part, metadata=[{"n": number, "tags": ("a", f"t{number % 7}")} for number in range(len(part))]
        )


async def delete(collection: FaissCollection, selector: Selector) -> None:
    await collection.delete("", selector, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)


@pytest.mark.parametrize("index", [FlatIndex(), HnswIndex(m=8)], ids=lambda index: index.kind)
@pytest.mark.parametrize("way", WAYS)
async def test_deleting_and_adding_everything_ten_times_takes_hardly_more_room_than_once(
    way: str,
    index: IndexConfig,
    open_backend: OpenBackend,
    put: Put,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As small as the store is: the log may grow to 16 MiB, a share of a store of 100,000 records as this is of these.
    monkeypatch.setattr(writer_module, "CHECKPOINT_BYTES", 64 * 1024)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.create_collection(CollectionSpec("notes", DIMENSION, index=index))
    collection = await backend.collection("notes")
    await put_all(collection, put)
    await backend.settle()
    first = size_of(directory, collection)
    for _ in range(ROUNDS):
        for selector in WAYS[way]:
            await delete(collection, selector)
        await put_all(collection, put)
    await backend.settle()
    last = size_of(directory, collection)
    assert (await collection.size()).records == len(IDS)
    for what in ("disk", "arrays", "rows", "bitmaps"):
        assert getattr(last, what) <= MOST * getattr(first, what), (what, first, last)
    reopened = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    (hits,) = await reopened.search(
        "", np.ones((1, DIMENSION), np.float32), SearchOptions(top_k=2 * len(IDS), fields=IDS_ONLY)
    )
    assert sorted(hits.ids) == IDS


async def test_what_dies_in_the_head_during_a_rebuild_is_forgotten_after_it(
    open_backend: OpenBackend, put: Put, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    await put(
        collection, IDS[:THRESHOLD]
    )  # its build has begun; nothing is published before the next steps of this loop
    await put(collection, IDS[THRESHOLD : 2 * THRESHOLD - 1])
    await delete(collection, Everything())
    await backend.settle()
    size = size_of(directory, collection)
    assert (size.rows, size.arrays) == (0, 0)


async def test_the_memory_of_a_deleted_collection_is_given_back_where_garbage_is_not_looked_for(
    open_backend: OpenBackend, put: Put
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    await put(collection, IDS[: THRESHOLD + 1])
    await backend.settle()
    partition = collection._partition("")
    held: list[weakref.ref[Any]] = [
        weakref.ref(partition),
        *(weakref.ref(segment.block.vectors) for segment in partition.segments),
    ]
    assert len(held) == 2
    gc.disable()  # as what a server holds from its start is frozen
    try:
        del collection, partition
        await backend.delete_collection("notes")
        await asyncio.sleep(0.05)
        assert [each() is None for each in held] == [True] * len(held)
    finally:
        gc.enable()


async def test_the_segments_that_a_merge_replaced_are_given_back_while_nothing_else_is_done(
    open_backend: OpenBackend, put: Put
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    await put(collection, IDS[:THRESHOLD])
    await backend.settle()
    replaced = [weakref.ref(segment.block.vectors) for segment in collection._partition("").segments]
    assert len(replaced) == 1
    await delete(collection, ByIds(tuple(IDS[: THRESHOLD // 2])))  # so many dead rows that it is built anew
    await backend.settle()
    async with asyncio.timeout(20):
        while any(each() is not None for each in replaced):  # noqa: ASYNC110  # threads let go of them a moment later
            await asyncio.sleep(0.01)
