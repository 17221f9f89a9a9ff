"""Segments are derived: they come back from their files, are built anew where those are damaged, and never bring back the dead."""

from __future__ import annotations

import asyncio
import errno
import json
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import xxhash

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, Everything, SearchOptions
from vecgate_backends.errors import StorageFullError
from vecgate_backends.faiss import FaissBackend, index_building, rebuild, sealing, segment_file
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    FlatIndex,
    FloatMatrix,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 200
DIMENSION = 8
INDEXES = [FlatIndex(), HnswIndex(), HnswIndex(quantization=Quantization.SCALAR8), IvfIndex()]
KINDS = pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.kind)


@pytest.fixture(autouse=True)
def lists_of_few_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments as small as those of these tests have inverted lists."""
    monkeypatch.setattr(index_building, "VECTORS_A_LIST", 8)


def ids(begin: int, end: int) -> list[str]:
    return [f"r{number:05}" for number in range(begin, end)]


def vectors(count: int) -> FloatMatrix:
    return np.random.default_rng(count).standard_normal((count, DIMENSION)).astype(np.float32)


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("collections/*/segments/*"))


async def make(backend: FaissBackend, index: IndexConfig | None = None) -> FaissCollection:
    await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN, index=index))
    return await backend.collection("notes")


async def delete(collection: FaissCollection, chosen: Sequence[str]) -> None:
    selector = ByIds(tuple(chosen))
    await collection.delete("", selector, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)


async def nearest(collection: FaissCollection, query: FloatMatrix, top_k: int = 1) -> list[list[str]]:
    hits = await collection.search("", query, SearchOptions(top_k=top_k, fields=IDS_ONLY))
    return [list(found.ids) for found in hits]


def segment_rows(collection: FaissCollection) -> list[int]:
    return sorted(len(segment.block) for segment in collection._partition("").segments)


@KINDS
async def test_a_full_head_becomes_a_segment_that_a_reopen_loads(
    index: IndexConfig, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    stored = vectors(THRESHOLD + 50)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend, index)
    await put(collection, ids(0, THRESHOLD), stored[:THRESHOLD])
    await backend.settle()
    await put(collection, ids(THRESHOLD, len(stored)), stored[THRESHOLD:])
    (before,) = files(directory)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await backend.collection("notes")
    assert (segment_rows(collection), files(directory)) == ([THRESHOLD], [before])
    (segment,) = collection._partition("").segments
    assert segment.row.kind == index.kind
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, len(stored))]


@KINDS
async def test_what_was_replaced_or_deleted_stays_so_with_sealed_segments(
    index: IndexConfig, open_backend: OpenBackend, put: Put
) -> None:
    stored = vectors(THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend, index)
    await put(collection, ids(0, THRESHOLD), stored)
    await backend.settle()
    await put(collection, ids(0, 20), stored[:20] + 100)
    await delete(collection, ids(20, 40))
    for _ in range(2):
        assert (await collection.size()).records == THRESHOLD - 20
        found = await nearest(collection, stored[:40], top_k=THRESHOLD)
        assert {frozenset(hits) for hits in found} == {frozenset(ids(0, 20) + ids(40, THRESHOLD))}
        assert await nearest(collection, stored[:20] + 100) == [[record_id] for record_id in ids(0, 20)]
        collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")


@KINDS
async def test_four_segments_of_one_size_become_one(
    index: IndexConfig, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    stored = vectors(4 * THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend, index)
    for begin in range(0, len(stored), THRESHOLD):
        await put(collection, ids(begin, begin + THRESHOLD), stored[begin : begin + THRESHOLD])
        await backend.settle()
    assert segment_rows(collection) == [4 * THRESHOLD]
    assert len(files(directory)) == 1
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, len(stored))]


async def test_a_segment_with_many_dead_rows_is_built_anew_without_them(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    await put(collection, ids(0, THRESHOLD))
    await backend.settle()
    await delete(collection, ids(0, THRESHOLD // 2))
    await backend.settle()
    assert segment_rows(collection) == [THRESHOLD // 2]
    await collection.delete("", Everything(), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
    await backend.settle()
    assert (segment_rows(collection), files(directory)) == ([], [])


@KINDS
@pytest.mark.parametrize("damage", ["missing", "truncated", "emptied", "first byte", "ids", "vectors", "last byte"])
async def test_a_damaged_segment_is_never_trusted_and_built_anew(
    damage: str,
    index: IndexConfig,
    open_backend: OpenBackend,
    put: Put,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = vectors(THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await put(await make(backend, index), ids(0, THRESHOLD), stored)
    await backend.settle()
    await backend.close()
    (path,) = files(directory)
    whole = bytearray(path.read_bytes())
    offsets = {"first byte": 0, "ids": 30, "vectors": len(whole) // 2, "last byte": len(whole) - 1}
    if damage == "missing":
        path.unlink()
    elif damage in offsets:
        whole[offsets[damage]] ^= 1
        path.write_bytes(whole)
    else:
        path.write_bytes(whole[: len(whole) // 2 if damage == "truncated" else 0])

    def never(reader: object) -> None:
        pytest.fail("Faiss was handed a damaged file")

    with monkeypatch.context() as patch:
        patch.setattr(faiss, "read_index", never)
        backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await backend.collection("notes")
    assert "segment dropped, its vectors come from the records" in caplog.text
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, THRESHOLD)]
    await backend.settle()
    assert segment_rows(collection) == [THRESHOLD]
    assert path not in files(directory)
    assert len(files(directory)) == 1
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, THRESHOLD)]


async def test_a_sound_file_of_another_segment_is_not_trusted_either(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    stored = vectors(2 * THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    for begin in (0, THRESHOLD):
        await put(collection, ids(begin, begin + THRESHOLD), stored[begin : begin + THRESHOLD])
        await backend.settle()
    await backend.close()
    first, second = files(directory)
    first.write_bytes(second.read_bytes())
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, 2 * THRESHOLD)]


async def test_files_that_no_manifest_names_are_removed(open_backend: OpenBackend, put: Put, directory: Path) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await put(await make(backend), ids(0, THRESHOLD))
    await backend.settle()
    (registered,) = files(directory)
    registered.with_name("left.new").write_bytes(b"half")
    registered.with_name("0123.segment").write_bytes(b"unregistered")
    await open_backend(seal_threshold=THRESHOLD)
    assert files(directory) == [registered]


async def test_changes_during_a_build_hold_in_its_segment(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = vectors(THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    await put(collection, ids(0, THRESHOLD), stored)
    assert collection._partition(
        ""
    ).sealing  # the build has begun; it is published after the writes below at the soonest
    await put(collection, ids(0, 5), stored[:5] + 100)
    await delete(collection, ids(5, 10))
    await backend.settle()
    everything = (await nearest(collection, stored[:1], top_k=2 * THRESHOLD))[0]
    assert sorted(everything) == ids(0, 5) + ids(10, THRESHOLD)
    assert await nearest(collection, stored[:5] + 100) == [[record_id] for record_id in ids(0, 5)]


async def test_a_rebuild_that_fails_leaves_searches_right_and_is_tried_again(
    open_backend: OpenBackend, put: Put, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, contents: segment_file.SegmentContents) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    stored = vectors(THRESHOLD + 1)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with monkeypatch.context() as patch:
        patch.setattr(rebuild, "write_segment", full)
        await put(collection, ids(0, THRESHOLD), stored[:THRESHOLD])
        await backend.settle()
    assert (segment_rows(collection), files(directory)) == ([], [])
    collection._sealer._resume_at = 0.0  # as if the pause after a failure were over
    assert await nearest(collection, stored[:9]) == [[record_id] for record_id in ids(0, 9)]
    await put(collection, ids(THRESHOLD, THRESHOLD + 1), stored[THRESHOLD:])
    await backend.settle()
    assert segment_rows(collection) == [THRESHOLD]
    assert collection._partition("").head.live == 1


async def test_a_rebuild_that_failed_is_tried_again_without_another_write(
    open_backend: OpenBackend, put: Put, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "RETRY_SECONDS", 0.1)
    tried: list[Path] = []
    written, loop = asyncio.Event(), asyncio.get_running_loop()

    def full_at_first(path: Path, contents: segment_file.SegmentContents) -> bytes:
        tried.append(path)
        if len(tried) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        loop.call_soon_threadsafe(written.set)
        return segment_file.write_segment(path, contents)

    monkeypatch.setattr(rebuild, "write_segment", full_at_first)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    await put(collection, ids(0, THRESHOLD))
    await asyncio.wait_for(written.wait(), 60)
    await backend.settle()
    assert (segment_rows(collection), len(tried), len(files(directory))) == ([THRESHOLD], 3, 1)


async def test_closing_gives_up_a_build_and_loses_nothing(open_backend: OpenBackend, put: Put, directory: Path) -> None:
    stored = vectors(THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await put(await make(backend), ids(0, THRESHOLD), stored)
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert await nearest(await backend.collection("notes"), stored) == [[record_id] for record_id in ids(0, THRESHOLD)]
    await backend.settle()
    assert len(files(directory)) == 1


async def test_vectors_too_long_for_a_graph_are_kept_flat(open_backend: OpenBackend, put: Put) -> None:
    stored = vectors(THRESHOLD) * np.float32(1e25)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend, HnswIndex())
    await put(collection, ids(0, THRESHOLD), stored)
    await backend.settle()
    (segment,) = collection._partition("").segments
    assert segment.row.kind == "flat"
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, THRESHOLD)]


async def test_a_full_disk_refuses_writes_and_goes_on_reading(open_backend: OpenBackend, put: Put) -> None:
    stored = vectors(10)
    collection = await make(await open_backend())
    await put(collection, ids(0, 10), stored)
    connection = collection._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError, match="disk is full"):
        await put(collection, ids(10, 2000))
    assert (await collection.size()).records == 10
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, 10)]
    connection.execute("PRAGMA max_page_count = 100000")
    await put(collection, ids(10, 2000))
    assert (await collection.size()).records == 2000


@pytest.mark.parametrize(
    ("version", "index"),
    [*((1, index) for index in INDEXES[:2]), *((2, index) for index in INDEXES)],
    ids=lambda value: getattr(value, "kind", None),
)
async def test_files_of_an_older_format_are_read(
    version: int, index: IndexConfig, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    path, stored = await sealed_file(open_backend, put, directory, index)
    become_of_version(version, path)
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    assert (segment_rows(collection), files(directory)) == ([THRESHOLD], [path])
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, THRESHOLD)]


async def test_the_checksum_in_the_manifest_is_that_of_the_documented_layout(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    path, _ = await sealed_file(open_backend, put, directory, FlatIndex())
    with closing(sqlite3.connect(path.parent.parent / "records.db")) as truth:
        columns = "parameters, count, first_internal_id, last_internal_id, file_version, checksum"
        parameters, *numbers, checksum = truth.execute(f"SELECT {columns} FROM segments").fetchone()
    assert numbers == [THRESHOLD, 1, THRESHOLD, 3]
    row = f'["{path.stem}","","flat",{json.dumps(parameters)},{THRESHOLD},1,{THRESHOLD},3]'
    assert checksum == xxhash.xxh3_128(xxhash.xxh3_128(path.read_bytes()).digest() + row.encode()).digest()


@KINDS
async def test_files_of_a_newer_format_are_built_anew(
    index: IndexConfig, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    path, stored = await sealed_file(open_backend, put, directory, index)
    become_of_version(segment_file.FILE_VERSION + 1, path)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.settle()
    collection = await backend.collection("notes")
    assert segment_rows(collection) == [THRESHOLD]
    assert path not in files(directory)
    assert await nearest(collection, stored) == [[record_id] for record_id in ids(0, THRESHOLD)]


async def sealed_file(
    open_backend: OpenBackend, put: Put, directory: Path, index: IndexConfig
) -> tuple[Path, FloatMatrix]:
    """Write a segment, close the store, and return the segment's file and the vectors in it."""
    stored = vectors(THRESHOLD)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await put(await make(backend, index), ids(0, THRESHOLD), stored)
    await backend.settle()
    await backend.close()
    (path,) = files(directory)
    return path, stored


def become_of_version(version: int, path: Path) -> None:
    """Let a segment's file and its row of the manifest say that they are of another format."""
    content = bytearray(path.read_bytes())
    content[8:12] = version.to_bytes(4, "little")
    path.write_bytes(content)
    with closing(sqlite3.connect(path.parent.parent / "records.db")) as truth, truth:
        checksum = xxhash.xxh3_128(content).digest()
        truth.execute("UPDATE segments SET file_version = ?, checksum = ?", (version, checksum))
