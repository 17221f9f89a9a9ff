"""Contents that changed on the disk are refused with the record's name, at the start or when they are read, and never served."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import ChangeResult, WriteResult
from vecgate_backends.contract import ByIds, MetadataChanges, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, StorageCorruptError
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.row_checksum import METADATA, TEXT, RowKey, checksums, namespace_checksum
from vecgate_backends.records import IDS_ONLY, Acknowledgement, CollectionSpec, Fields, FlatIndex

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
SEARCHABLE = Acknowledgement.SEARCHABLE
TEXT_ONLY = Fields(text=True, metadata=False)
VECTOR_ONLY = Fields(text=False, metadata=False, vector=True)
STAMP_ONLY = Fields(text=False, metadata=False, encoding_stamp=True)
VECTORS = np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(0.123)
METADATA_OF_B = '{"colour":"blue-of-b"}'
PINNED = [139245922867616195, 1263808378302154869, -7780977576883734907, -8959929184772589872]
"""Computed from the documented layout with struct and xxhash alone."""


@pytest.fixture
async def truth(open_backend: OpenBackend, put: Put, directory: Path) -> Path:
    """The closed records.db of the collection "notes" with the records a, b and c, whose internal ids are 1, 2 and 3."""
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4, index=FlatIndex()))
    colours = [{"colour": f"blue-of-{record_id}"} for record_id in "abc"]
    await put(await backend.collection("notes"), list("abc"), VECTORS, colours)
    path = directory / "collections" / backend._open["notes"].entry.uid / "records.db"
    await backend.close()
    return path


def change(truth: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(truth)) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


def swap_vectors_of_a_and_b(truth: Path) -> None:
    """Swap whole rows, each with its own checksum."""
    change(truth, "UPDATE vectors SET internal_id = -internal_id WHERE internal_id IN (1, 2)")
    change(truth, "UPDATE vectors SET internal_id = 3 + internal_id WHERE internal_id IN (-1, -2)")


def flip(truth: Path, contents: bytes, mask: int) -> None:
    """Flip bits of the last byte of the only place in the file that holds these contents."""
    data = bytearray(truth.read_bytes())
    assert data.count(contents) == 1
    data[data.index(contents) + len(contents) - 1] ^= mask
    truth.write_bytes(data)


async def reopened(open_backend: OpenBackend, **options: Any) -> FaissCollection:
    return await (await open_backend(**options)).collection("notes")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE records SET metadata = replace(metadata, 'blue', 'bluf') WHERE id = 'b'", "metadata of record 'b'"),
        ("UPDATE records SET metadata = CAST(x'ff' AS TEXT) WHERE id = 'b'", "metadata of record 'b'"),
        ("UPDATE records SET id = 'B' WHERE id = 'b'", "metadata of record 'B'"),
        ("UPDATE records SET namespace = 99 WHERE id = 'b'", "metadata of record 'b'"),
        ("UPDATE records SET namespace = 'one' WHERE id = 'b'", "metadata of record 'b'"),
        ("UPDATE records SET internal_id = 9 WHERE id = 'b'", "metadata of record 'b'"),
        ("UPDATE records SET checksum = checksum + 1 WHERE id = 'b'", "metadata of record 'b'"),
        (
            "UPDATE vectors SET vector = x'000102030405060708090a0b0c0d0e0f' WHERE internal_id = 2",
            "vector of record 'b'",
        ),
        ("UPDATE vectors SET vector = x'00' WHERE internal_id = 2", "vector of record 'b'"),
        ("UPDATE vectors SET vector = 'text' WHERE internal_id = 2", "vector of record 'b'"),
        ("DELETE FROM vectors WHERE internal_id = 2", "vector of record 'b'"),
        ("DELETE FROM vectors WHERE internal_id = 3", "vector of record 'c'"),
        ("UPDATE namespaces SET name = 'other'", "namespace 'other'"),
        ("UPDATE namespaces SET name = CAST(x'ff' AS TEXT)", "namespace '\ufffd'"),
    ],
)
async def test_a_start_refuses_a_collection_with_changed_contents(
    statement: str, named: str, truth: Path, open_backend: OpenBackend
) -> None:
    change(truth, statement)
    with pytest.raises(StorageCorruptError, match=rf"^records\.db is damaged: .*{named} does not match its checksum$"):
        await reopened(open_backend)


async def test_a_start_refuses_a_collection_with_swapped_vectors(truth: Path, open_backend: OpenBackend) -> None:
    swap_vectors_of_a_and_b(truth)
    with pytest.raises(StorageCorruptError, match="the vector of record 'a' does not match its checksum"):
        await reopened(open_backend)


@pytest.mark.parametrize("mask", [1, 0x80], ids=["low bit", "high bit"])
@pytest.mark.parametrize("contents", [METADATA_OF_B.encode(), VECTORS[1].tobytes()], ids=["metadata", "vector"])
async def test_a_start_notices_a_flipped_bit_in_the_file(
    contents: bytes, mask: int, truth: Path, open_backend: OpenBackend
) -> None:
    flip(truth, contents, mask)
    with pytest.raises(StorageCorruptError, match="of record 'b' does not match its checksum"):
        await reopened(open_backend)


async def assert_text_of_b_is_refused(collection: FaissCollection) -> None:
    refused = pytest.raises(StorageCorruptError, match="the text of record 'b' does not match its checksum")
    with refused:
        await collection.get("", ["a", "b"], TEXT_ONLY)
    with refused:
        await collection.list_records("", None, cursor=None, limit=9, fields=TEXT_ONLY)
    with refused:
        await collection.search("", VECTORS[:1], SearchOptions(top_k=3, fields=TEXT_ONLY))
    sound = await collection.get("", ["a", "c"], TEXT_ONLY)
    assert [record and record.text for record in sound] == ["text of a", "text of c"]
    assert (await collection.get("", ["b"], Fields(text=False)))[0] is not None


@pytest.mark.parametrize("mask", [1, 0x80], ids=["low bit", "high bit"])
async def test_a_flipped_bit_in_a_text_is_refused_when_it_is_read(
    mask: int, truth: Path, open_backend: OpenBackend
) -> None:
    flip(truth, b"text of b", mask)
    await assert_text_of_b_is_refused(await reopened(open_backend))


@pytest.mark.parametrize("text", [None, "", "text of a"])
async def test_a_changed_text_is_refused_when_it_is_read(
    text: str | None, truth: Path, open_backend: OpenBackend
) -> None:
    change(truth, "UPDATE records SET text = ? WHERE id = 'b'", text)
    await assert_text_of_b_is_refused(await reopened(open_backend))


async def test_swapped_vectors_below_a_segment_are_refused_when_they_are_read(
    truth: Path, open_backend: OpenBackend
) -> None:
    backend = await open_backend(seal_threshold=3)
    await backend.collection("notes")
    await backend.settle()
    await backend.close()
    swap_vectors_of_a_and_b(truth)
    collection = await reopened(open_backend, seal_threshold=3)
    (hits,) = await collection.search("", VECTORS[:1], SearchOptions(top_k=3, fields=IDS_ONLY))
    assert sorted(hits.ids) == ["a", "b", "c"]
    refused = pytest.raises(StorageCorruptError, match=r"the vector of record '[ab]' does not match its checksum")
    with refused:
        await collection.get("", ["b"], VECTOR_ONLY)
    with refused:
        await collection.list_records("", None, cursor=None, limit=9, fields=VECTOR_ONLY)
    with refused:
        await collection.search("", VECTORS[:1], SearchOptions(top_k=3, fields=VECTOR_ONLY))


async def test_metadata_that_changes_below_an_open_collection_is_neither_served_nor_written_over(
    truth: Path, open_backend: OpenBackend, put: Put
) -> None:
    collection = await reopened(open_backend)
    change(truth, "UPDATE records SET metadata = '{}' WHERE id = 'b'")
    collection._reader.pin()  # as the next commit would
    refused = pytest.raises(StorageCorruptError, match="the metadata of record 'b' does not match its checksum")
    chosen = ByIds(("b",))
    with refused:
        await collection.get("", ["b"], Fields())
    with refused:
        changes = MetadataChanges({"size": 1}, frozenset())
        await collection.update_metadata("", chosen, changes, acknowledgement=SEARCHABLE)
    with refused:
        await put(collection, ["b"])
    with refused:
        await collection.delete("", chosen, dry_run=False, acknowledgement=SEARCHABLE)
    await put(collection, ["a"])


async def test_a_record_that_vanishes_below_an_open_collection_is_reported_as_damage(
    truth: Path, open_backend: OpenBackend
) -> None:
    collection = await reopened(open_backend)
    change(truth, "DELETE FROM records WHERE id = 'b'")
    collection._reader.pin()  # as the next commit would
    with pytest.raises(StorageCorruptError, match="a record that the index holds is not stored"):
        await collection.search("", VECTORS[:1], SearchOptions(top_k=3))


async def test_updated_metadata_has_a_checksum_of_its_own(truth: Path, open_backend: OpenBackend) -> None:
    collection = await reopened(open_backend)
    changes = MetadataChanges({"größe": 2}, frozenset({"colour"}))
    await collection.update_metadata("", ByIds(("b",)), changes, acknowledgement=SEARCHABLE)
    (record,) = await (await reopened(open_backend)).get("", ["b"], Fields(vector=True))
    assert record is not None
    assert (record.metadata, record.text) == ({"größe": 2}, "text of b")
    np.testing.assert_array_equal(record.vector, VECTORS[1])


def test_the_layout_of_checksums_is_that_of_stored_files() -> None:
    key = RowKey(5, 2, "ä".encode())
    assert [key.checksum(METADATA, b"{}"), key.checksum(TEXT, None), key.checksum(TEXT, b"")] == PINNED[:3]
    assert namespace_checksum(1, b"") == PINNED[3]


def test_checksums_of_many_rows_are_those_of_each() -> None:
    keys = [RowKey(5, 2, "ä".encode()), RowKey(5, 2, "ä".encode()), RowKey(6, 2, b"b")]
    contents = [None, b"", b"text"]
    assert checksums(TEXT, keys, contents)[:2] == PINNED[1:3]
    assert checksums(TEXT, keys, contents) == [key.checksum(TEXT, own) for key, own in zip(keys, contents, strict=True)]


@pytest.fixture
async def many(open_backend: OpenBackend, put: Put, directory: Path) -> tuple[FaissCollection, Path]:
    """The open collection "notes" with 200 records r0, r1 and so on, and its records.db."""
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4, index=FlatIndex()))
    collection = await backend.collection("notes")
    ids = [f"r{number}" for number in range(200)]
    await put(collection, ids, np.arange(800, dtype=np.float32).reshape(200, 4) + 1, [{"n": 1}] * 200)
    return collection, directory / "collections" / collection.entry.uid / "records.db"


async def test_a_damaged_record_among_many_is_named_and_nothing_is_written(
    many: tuple[FaissCollection, Path], put: Put
) -> None:
    collection, path = many
    change(path, "UPDATE records SET metadata = replace(metadata, '1', '2') WHERE id = 'r100'")
    ids = [f"r{number}" for number in range(200)]
    with pytest.raises(StorageCorruptError, match="metadata of record 'r100'"):
        await put(collection, ids, np.ones((200, 4), np.float32), [{"n": 3}] * 200)
    with pytest.raises(StorageCorruptError, match="metadata of record 'r100'"):
        await collection.delete("", ByIds(tuple(ids)), dry_run=False, acknowledgement=SEARCHABLE)
    with closing(sqlite3.connect(path)) as fresh:
        assert fresh.execute("SELECT count(*), max(internal_id) FROM records").fetchone() == (200, 200)
        assert fresh.execute("SELECT DISTINCT metadata FROM records").fetchall() == [('{"n":1}',), ('{"n":2}',)]


async def test_rows_before_one_that_cannot_be_inserted_do_not_stay(
    many: tuple[FaissCollection, Path], put: Put
) -> None:
    collection, path = many
    change(path, "DELETE FROM records WHERE internal_id BETWEEN 101 AND 105")
    change(path, "DELETE FROM vectors WHERE internal_id BETWEEN 101 AND 105")
    # So that the sixth new record gets the internal id 106, which there is.
    change(path, "UPDATE sqlite_sequence SET seq = 100 WHERE name = 'records'")
    ids = [f"new{number}" for number in range(8)]
    failed, deleted = await asyncio.gather(
        put(collection, ids, np.ones((8, 4), np.float32), [{}] * 8),
        collection.delete("", ByIds(("r0",)), dry_run=False, acknowledgement=SEARCHABLE),
        return_exceptions=True,
    )
    assert isinstance(failed, BackendUnavailableError)
    assert isinstance(deleted, ChangeResult)
    assert deleted.matched == 1
    with closing(sqlite3.connect(path)) as fresh:
        assert fresh.execute("SELECT count(*) FROM records").fetchone() == (194,)
        assert fresh.execute("SELECT id FROM records WHERE id LIKE 'new%' OR id = 'r0'").fetchall() == []


@pytest.mark.parametrize(
    ("statement", "named", "fields"),
    [
        ("UPDATE records SET text = 'other' WHERE id = 'r100'", "text of record 'r100'", TEXT_ONLY),
        ("UPDATE vectors SET vector = 12345 WHERE internal_id = 101", "vector of record 'r100'", VECTOR_ONLY),
        ("UPDATE vectors SET encoding_stamp = x'01' WHERE internal_id = 101", "stamp of record 'r100'", STAMP_ONLY),
    ],
)
async def test_what_is_damaged_among_many_is_named_when_it_is_read(
    many: tuple[FaissCollection, Path], put: Put, statement: str, named: str, fields: Fields
) -> None:
    collection, path = many
    change(path, statement)
    await put(collection, ["another"], np.ones((1, 4), np.float32), [{}])  # after it, readers see what is there now
    with pytest.raises(StorageCorruptError, match=named):
        await collection.get("", [f"r{number}" for number in range(200)], fields)
