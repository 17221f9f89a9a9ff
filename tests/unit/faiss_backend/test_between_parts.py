"""What goes on at once does not disturb each other: searches, updates, compaction, snapshots, builds, damage, closing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, MetadataChanges, SearchOptions
from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss import FaissBackend, held_records, rebuild, searcher, snapshotting
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.verification import check_store
from vecgate_backends.filters import Eq
from vecgate_backends.records import Acknowledgement, CollectionSpec, Fields, FlatIndex, HnswIndex, IndexConfig, Metric

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
SEARCHABLE = Acknowledgement.SEARCHABLE


async def make(backend: FaissBackend, name: str = "notes", index: IndexConfig | None = None) -> FaissCollection:
    await backend.create_collection(CollectionSpec(name, 4, Metric.EUCLIDEAN, index=index))
    return await backend.collection(name)


def test_a_block_taken_before_a_compaction_stays_whole() -> None:
    head = Head(4)
    internal_ids = np.arange(100, dtype=np.int64)
    head.append(internal_ids, [f"id{number}" for number in range(100)], np.ones((100, 4), np.float32))
    head.remove(internal_ids[:80])
    (chunk,) = head._chunks
    before = chunk.block()
    head.compact()
    again = chunk.block()  # by a thread that found the chunk in the head before
    for block in (before, again):
        assert len(block.internal_ids) == len(block.vectors) == len(block.live) == 100
        assert [block.record_ids[row] for row in np.flatnonzero(block.live).tolist()] == [
            f"id{number}" for number in range(80, 100)
        ]
    (compacted,) = head.blocks()
    assert list(compacted.record_ids) == [f"id{number}" for number in range(80, 100)]


@pytest.mark.parametrize("inline_work", [searcher.INLINE_WORK, 1])
async def test_no_hit_contradicts_the_filter_while_metadata_are_updated(
    inline_work: int, open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "INLINE_WORK", inline_work)
    collection = await make(await open_backend())
    ids = [str(number) for number in range(100)]
    await put(collection, ids, metadata=[{"colour": ("red", "blue")[number % 2]} for number in range(100)])
    options = SearchOptions(top_k=100, filter=Eq("colour", "red"), fields=Fields(metadata=True))
    query = np.ones((1, 4), np.float32)
    stop = asyncio.Event()

    async def search() -> None:
        while not stop.is_set():
            (hits,) = await collection.search("", query, options)
            assert hits.records is not None
            assert {record.metadata["colour"] for record in hits.records} <= {"red"}
            await asyncio.sleep(0)

    searches = [asyncio.create_task(search()) for _ in range(6)]
    for number in range(60):
        changes = MetadataChanges({"colour": ("red", "blue")[number % 2]}, frozenset())
        await collection.update_metadata("", ByIds(tuple(ids[:50])), changes, acknowledgement=SEARCHABLE)
    stop.set()
    await asyncio.gather(*searches)


async def test_a_snapshot_that_breaks_down_is_put_off_and_closes_all_the_same(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def break_down(*_: object) -> None:
        tried.append(1)
        raise MemoryError("none left")

    monkeypatch.setattr(held_records, "READ_WHOLE", 0)
    monkeypatch.setattr(snapshotting, "write_snapshot", break_down)
    backend = await open_backend()
    collection = await make(backend)
    for number in range(10):
        await put(collection, [str(number)])
        await backend.settle()
    assert len(tried) == 1
    await backend.close()
    reopened = await open_backend()
    assert (await (await reopened.collection("notes")).size()).records == 10


async def test_no_build_begins_once_a_collection_is_closing(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=16)
    collection = await make(backend, index=HnswIndex())
    for number in range(30):
        await put(collection, [str(row) for row in range(16)], namespace=f"n{number}")
    await backend.settle()
    built: list[object] = []
    original = rebuild.build_segment

    def counted(*arguments: Any, **options: Any) -> Any:
        segment = original(*arguments, **options)
        built.append(segment)
        return segment

    monkeypatch.setattr("vecgate_backends.faiss.sealing.build_segment", counted)
    await backend.update_collection("notes", FlatIndex())
    await backend.close()
    assert len(built) <= 2


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE snapshots SET sequence = 'x'",
        "UPDATE snapshots SET last_internal_id = x'00'",
        "UPDATE snapshots SET uuid = char(0) || uuid",
        "UPDATE segments SET uuid = char(0) || uuid",
        "UPDATE segments SET last_internal_id = 'x'",
        """UPDATE segments SET kind = 'flat', parameters = '{"kind": "flat"}'""",
    ],
)
async def test_a_damaged_row_of_something_derived_keeps_nothing_from_starting(
    damage: str, open_backend: OpenBackend, put: Put, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_records, "READ_WHOLE", 0)
    backend = await open_backend(seal_threshold=40)
    for name in ("one", "two"):
        await put(await make(backend, name, FlatIndex()), [str(number) for number in range(50)])
    await backend.settle()
    uid = (await backend.collection("one")).entry.uid
    await backend.close()
    with closing(sqlite3.connect(directory / "collections" / uid / "records.db")) as connection, connection:
        connection.execute(damage)
    report = check_store(directory)
    assert report.sound
    assert any(collection.derived for collection in report.collections)
    reopened = await open_backend(seal_threshold=40)
    for name in ("one", "two"):
        collection = await reopened.collection(name)
        query = np.zeros((1, 4), np.float32)
        (hits,) = await collection.search("", query, SearchOptions(top_k=100, exact=True))
        assert len(hits.ids) == 50


async def test_a_collection_whose_files_defeat_the_program_keeps_the_others_served(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend()
    for name in ("one", "two"):
        await put(await make(backend, name), ["a"])
    original = FaissCollection.open

    async def open_one(entry: Any, *arguments: Any) -> FaissCollection:
        if entry.spec.name == "one":
            raise ZeroDivisionError("in its files")
        return await original(entry, *arguments)

    monkeypatch.setattr(FaissCollection, "open", open_one)
    reopened = await open_backend()
    assert (await (await reopened.collection("two")).size()).records == 1
    with pytest.raises(StorageCorruptError, match="in its files"):
        await reopened.collection("one")
