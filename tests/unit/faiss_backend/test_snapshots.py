"""Snapshots are derived: a start from one knows what a start without knows, and damaged, missing or stale ones are never trusted."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import FieldStats, WriteResult
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss import FaissBackend, FaissOptions, held_records, snapshotting
from vecgate_backends.faiss.backup import backup_store
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.truth import TruthReader
from vecgate_backends.faiss.verification import check_store
from vecgate_backends.filters import Compare, Eq, Exists, Filter, Order
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    Fields,
    FlatIndex,
    HnswIndex,
    Metadata,
    Metric,
    Timestamp,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
COUNT = 300
THRESHOLD = 100
NAMESPACES = ("", "other", "third")
SEARCHABLE = Acknowledgement.SEARCHABLE
BLOCK = 4096
FILTERS: list[Filter | None] = [
    None,
    Eq("colour", "red"),
    Eq("tags", "b"),
    Eq("flag", value=True),
    Exists("size", present=False),
    Compare("size", Order.GTE, 40),
    Compare("half", Order.LT, 30.5),
    Compare("at", Order.GT, Timestamp(20)),
    Compare("at", Order.LT, Timestamp(2**40)),
]


@pytest.fixture(autouse=True)
def every_store_has_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few records there are."""
    monkeypatch.setattr(held_records, "READ_WHOLE", 0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The internal ids of all records that starts read one by one."""
    internal_ids: list[int] = []
    original = TruthReader._indexed

    def noted(self: TruthReader, *arguments: Any) -> Iterator[Any]:
        for record in original(self, *arguments):
            internal_ids.append(record.internal_id)
            yield record

    monkeypatch.setattr(TruthReader, "_indexed", noted)
    return internal_ids


def metadata_of(number: int) -> Metadata:
    """Return metadata of every type; values that many share, values of one record alone, and fields that only some have."""
    fields: dict[str, Any] = {"colour": ("red", "green", "blue")[number % 3], "number": number, "half": number / 2}
    fields["at"] = Timestamp(number if number % 7 else 2**39, number)
    if number % 2:
        fields |= {"size": number % 60, "flag": number % 4 == 1, "tags": ("a", "b", "ä")[: number % 4]}
    return fields


def ids(begin: int, end: int) -> list[str]:
    return [f"ré{number:04}" for number in range(begin, end)]


def snapshots(directory: Path) -> list[Path]:
    return sorted(directory.glob("collections/*/snapshots/*"))


def truth(directory: Path) -> Path:
    (path,) = directory.glob("collections/*/records.db")
    return path


async def filled(backend: FaissBackend, put: Put, index: Any = None) -> FaissCollection:
    """Make a collection with records in three namespaces, the first of which is partly sealed."""
    await backend.create_collection(CollectionSpec("notes", 4, Metric.EUCLIDEAN, index=index or FlatIndex()))
    collection = await backend.collection("notes")
    for namespace, count in zip(NAMESPACES, (COUNT, 40, 1), strict=True):
        metadata = [metadata_of(number) for number in range(count)]
        vectors = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
        await put(collection, ids(0, count), vectors, metadata, namespace=namespace)
        await backend.settle()
    return collection


async def change(collection: FaissCollection, put: Put) -> None:
    """Delete, replace, update and add records, and empty a namespace."""
    await collection.delete("", ByIds(tuple(ids(3, 30))), dry_run=False, acknowledgement=SEARCHABLE)
    await put(collection, ids(20, 60), metadata=[{"colour": "new", "at": Timestamp(5)}] * 40)
    changes = MetadataChanges({"size": 77, "colour": "blue"}, frozenset({"half"}))
    await collection.update_metadata("", ByFilter(Eq("colour", "green")), changes, acknowledgement=SEARCHABLE)
    await put(collection, ids(500, 520), metadata=[metadata_of(number) for number in range(20)], namespace="other")
    await put(collection, ["alone"], namespace="fourth")
    await collection.delete("third", Everything(), dry_run=False, acknowledgement=SEARCHABLE)


async def answers(collection: FaissCollection) -> list[Any]:
    """Return all that can be read of a collection, from memory and from its file."""
    size = await collection.size()
    found: list[Any] = [size.namespaces]
    for namespace in (*NAMESPACES, "fourth"):
        for node in FILTERS:
            options = SearchOptions(top_k=COUNT, filter=node, fields=Fields(vector=True))
            (hits,) = await collection.search(namespace, np.zeros((1, 4), np.float32), options)
            found.append((hits.ids, hits.scores.tolist(), [repr(record) for record in hits.records or ()]))
            page = await collection.list_records(namespace, node, cursor=None, limit=COUNT, fields=IDS_ONLY)
            found.append([record.id for record in page.records])
            found.append(await collection.count(namespace, Everything() if node is None else ByFilter(node)))
        fields = ("colour", "number", "half", "at", "size", "flag", "tags")
        found += [comparable(await collection.field_stats(namespace, field, None, limit=COUNT)) for field in fields]
    return found


def comparable(stats: FieldStats) -> list[Any]:
    return [
        sorted(map(repr, stats.values)),
        stats.distinct,
        stats.present,
        stats.missing,
        repr(stats.numbers),
        repr(stats.timestamps),
    ]


@pytest.mark.parametrize("index", [FlatIndex(), HnswIndex()], ids=lambda index: index.kind)
async def test_a_start_from_a_snapshot_knows_all_and_reads_no_record(
    index: Any, open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    collection = await filled(await open_backend(seal_threshold=THRESHOLD), put, index)
    before = await answers(collection)
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert len(snapshots(directory)) == 1
    read.clear()
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert read == []
    assert await answers(await backend.collection("notes")) == before
    await put(await backend.collection("notes"), ids(0, 1), metadata=[{"colour": "red"}])
    (record,) = await (await backend.collection("notes")).get("", ids(0, 1), Fields())
    assert record is not None
    assert record.metadata == {"colour": "red"}


async def test_a_stale_snapshot_is_followed_by_what_changed_since(
    open_backend: OpenBackend, put: Put, directory: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    backend = await open_backend(seal_threshold=THRESHOLD)
    (snapshot,) = snapshots(directory)
    collection = await backend.collection("notes")
    monkeypatch.setattr(snapshotting, "STALE_SHARE", 1e9)
    monkeypatch.setattr(snapshotting, "STALE_AT_CLOSE", 1e9)
    for _ in range(3):
        await change(collection, put)
        await backend.settle()
        before = await answers(collection)
        read.clear()
        backend = await open_backend(seal_threshold=THRESHOLD)
        assert snapshots(directory) == [snapshot]
        assert 0 < len(read) < COUNT
        collection = await backend.collection("notes")
        assert await answers(collection) == before


@pytest.mark.parametrize("registered", [False, True])
async def test_changes_while_a_snapshot_is_written_are_not_lost_whichever_one_the_next_start_finds(
    *,
    registered: bool,
    open_backend: OpenBackend,
    put: Put,
    directory: Path,
    read: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put)
    (older,) = snapshots(directory)
    await put(collection, ids(1000, 1010))
    monkeypatch.setattr(snapshotting, "STALE_SHARE", 1e9)
    monkeypatch.setattr(snapshotting, "STALE_AT_CLOSE", 1e9)
    snapshotter = collection._snapshotter
    captured = await collection._writer.between(snapshotter._captured)
    await change(collection, put)
    await collection.delete("", ByIds(tuple(ids(1000, 1005))), dry_run=False, acknowledgement=SEARCHABLE)
    before = await answers(collection)
    newer = snapshotter._write(captured)
    if registered:
        await snapshotter._register(newer)
    read.clear()
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert [path.stem for path in snapshots(directory)] == [newer.uuid if registered else older.stem]
    assert len(read) < COUNT
    assert await answers(await backend.collection("notes")) == before


@pytest.mark.parametrize("column", ["internal_id", "sequence", "checksum"])
async def test_a_damaged_journal_lets_every_record_be_read_and_is_in_order_again_afterwards(
    column: str, open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    changes = MetadataChanges({"size": 77}, frozenset())
    await collection.update_metadata("", ByIds(tuple(ids(7, 8))), changes, acknowledgement=SEARCHABLE)
    before = await answers(collection)
    await collection.close()
    with closing(sqlite3.connect(truth(directory))) as connection, connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (1,)
        connection.execute(f"UPDATE journal SET {column} = {column} + 100")
    read.clear()
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert len(read) == COUNT + 41
    assert await answers(await backend.collection("notes")) == before
    await backend.settle()
    read.clear()
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert read == []
    assert await answers(await backend.collection("notes")) == before


def flipped(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :]


async def test_a_snapshot_that_is_flipped_or_cut_anywhere_is_not_trusted(
    open_backend: OpenBackend, put: Put, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    before = await answers(await filled(backend, put))
    await backend.close()
    (path,) = snapshots(directory)
    whole = path.read_bytes()
    header_fields = [0, 8, 12, 16]
    offsets = sorted({*header_fields, *range(0, len(whole), BLOCK), len(whole) - 1})
    damaged = (
        [flipped(whole, offset) for offset in offsets] + [whole[:offset] for offset in offsets] + [whole + b"more"]
    )
    for content in damaged:
        path.write_bytes(content)
        caplog.clear()
        backend = await open_backend(seal_threshold=THRESHOLD)
        assert "snapshot dropped, every record is read" in caplog.text
        assert await answers(await backend.collection("notes")) == before
        await backend.settle()
        assert "snapshot dropped" not in "".join(record.message for record in caplog.records[1:])
        (path,) = snapshots(directory)  # a new one was written
        assert path.read_bytes() != content
        await backend.close()


async def test_a_missing_snapshot_is_written_anew(
    open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    before = await answers(await filled(backend, put))
    await backend.close()
    (path,) = snapshots(directory)
    path.unlink()
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert len(read) == COUNT + 41
    assert await answers(await backend.collection("notes")) == before
    await backend.settle()
    assert len(snapshots(directory)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET checksum = x'00112233445566778899aabbccddeeff'",
        "UPDATE snapshots SET file_version = 99",
        "UPDATE snapshots SET uuid = 'another'",
        "UPDATE snapshots SET sequence = sequence + 1",
        "UPDATE snapshots SET last_internal_id = last_internal_id + 1",
        "UPDATE meta SET value = 0 WHERE key = 'sequence'",
        "INSERT INTO journal VALUES (7, 1, 0)",
        "INSERT INTO journal VALUES (7, 'one', 0)",
        "DELETE FROM records WHERE internal_id = 2",
        "DELETE FROM snapshots",
    ],
)
async def test_a_snapshot_that_the_truth_does_not_agree_with_is_not_trusted(
    statement: str, open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    await backend.close()
    with closing(sqlite3.connect(truth(directory))) as connection, connection:
        connection.execute(statement)
    backend = await open_backend(seal_threshold=THRESHOLD)
    left = COUNT - ("records" in statement)
    assert len(read) == left + 41
    assert (await (await backend.collection("notes")).size()).namespaces[""] == left


async def test_damage_in_a_record_that_no_start_read_is_refused_when_it_is_read(
    open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    await backend.close()
    with closing(sqlite3.connect(truth(directory))) as connection, connection:
        connection.execute("UPDATE records SET metadata = replace(metadata, 'red', 'rot') WHERE internal_id = 1")
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    assert read == []
    query = np.zeros((1, 4), np.float32)
    (hits,) = await collection.search("", query, SearchOptions(top_k=1, filter=Eq("colour", "red"), fields=IDS_ONLY))
    assert hits.ids == ids(0, 1)
    refused = pytest.raises(StorageCorruptError, match="the metadata of record 'ré0000' does not match its checksum")
    with refused:
        await collection.get("", ids(0, 1), Fields())
    with refused:
        await collection.search("", query, SearchOptions(top_k=1))
    with refused:
        await put(collection, ids(0, 1))


async def test_a_snapshot_is_due_once_a_quarter_of_the_records_would_have_to_be_read(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put)
    seen = snapshots(directory)
    await put(collection, ids(1000, 1050))
    await backend.settle()
    assert snapshots(directory) == seen
    await put(collection, ids(1050, 1200))
    await backend.settle()
    assert len(snapshots(directory)) == 1
    assert snapshots(directory) != seen


async def test_a_snapshot_that_cannot_be_written_leaves_the_one_before(
    open_backend: OpenBackend,
    put: Put,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put)
    seen = snapshots(directory)
    with monkeypatch.context() as patch:
        patch.setattr(snapshotting, "write_snapshot", full)
        await put(collection, ids(1000, 1400))
        await backend.settle()
        before = await answers(collection)
        await backend.close()
    assert "cannot write a snapshot of collection notes (the next start takes longer)" in caplog.text
    assert snapshots(directory) == seen
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    assert await answers(collection) == before


async def test_a_small_collection_is_read_whole_and_has_no_snapshot(
    open_backend: OpenBackend, put: Put, directory: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_records, "READ_WHOLE", COUNT + 41)
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    backend = await open_backend(seal_threshold=THRESHOLD)
    assert (snapshots(directory), len(read)) == ([], COUNT + 41)


async def test_verifying_a_store_tells_what_is_wrong_with_its_snapshot(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    await backend.close()
    (path,) = snapshots(directory)

    def told() -> list[str]:
        (report,) = check_store(directory).collections
        assert not report.damage
        return list(report.derived)

    assert told() == []
    path.with_name("left.new").touch()
    path.write_bytes(flipped(path.read_bytes(), 100))
    with closing(sqlite3.connect(truth(directory))) as connection, connection:
        connection.execute("INSERT INTO journal VALUES (7, 1, 0)")
    assert told() == [
        f"snapshot {path.name}: its checksum is wrong; the next start reads every record",
        "the journal of changes does not match its checksums; the next start reads every record",
        "left.new is not the registered snapshot; the next start removes it",
    ]
    path.unlink()
    assert "No such file" in told()[0]


@pytest.mark.parametrize("with_segments", [True, False])
async def test_a_backup_has_the_snapshot_that_fits_it_or_none(
    *, with_segments: bool, open_backend: OpenBackend, put: Put, directory: Path, read: list[int]
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    await filled(backend, put)
    collection = await (await open_backend(seal_threshold=THRESHOLD)).collection("notes")
    await collection.delete("", ByIds(tuple(ids(7, 12))), dry_run=False, acknowledgement=SEARCHABLE)
    before = await answers(collection)
    copy = directory.with_name("copy")
    await asyncio.to_thread(backup_store, directory, copy, with_segments=with_segments)
    await put(collection, ids(0, 50))
    assert [path.name for path in snapshots(copy)] == [path.name for path in snapshots(directory)] * with_segments
    read.clear()
    backend = FaissBackend(FaissOptions(path=copy, seal_threshold=THRESHOLD))
    await backend.start()
    assert len(read) == (0 if with_segments else COUNT + 36)
    assert await answers(await backend.collection("notes")) == before
    await backend.close()


async def test_deleting_a_collection_writes_no_last_snapshot(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await filled(backend, put)
    await put(collection, ids(1000, 1010))
    monkeypatch.setattr(snapshotting, "write_snapshot", lambda *_: pytest.fail("a snapshot of what is to be removed"))
    await backend.delete_collection("notes")
