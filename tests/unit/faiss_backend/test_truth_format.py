"""A store that an earlier vecgate wrote is upgraded when it is opened, wholly or not at all, and what is newer is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import StorageCorruptError, StorageFullError
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss import truth as truth_module
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.database import upgrade_database
from vecgate_backends.faiss.truth_format import FORMAT
from vecgate_backends.records import Acknowledgement, CollectionSpec, Fields, FlatIndex, Record, RecordBatch, WriteMode

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
IDS = [f"{n:02}" for n in range(40)]
EVERYTHING = Fields(vector=True, encoding_stamp=True)
ONE = np.ones((1, 4), np.float32)
# The tables of version 1 as that version made them, and rows moved into them as they are.
VERSION_1 = """
    DROP TABLE snapshots;
    DROP TABLE journal;
    PRAGMA foreign_keys = OFF;
    ALTER TABLE vectors RENAME TO newer;
    CREATE TABLE vectors (internal_id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, vector BLOB NOT NULL);
    INSERT INTO vectors SELECT internal_id, checksum, vector FROM newer;
    DROP TABLE newer;
    PRAGMA user_version = 1;
"""


@pytest.fixture
async def old_truth(open_backend: OpenBackend, put: Put, directory: Path) -> Path:
    """The closed records.db, in version 1, of the collection "notes" with the records IDS."""
    backend = await open_backend(seal_threshold=16)
    await backend.create_collection(CollectionSpec("notes", 4, index=FlatIndex()))
    await put(await backend.collection("notes"), IDS, metadata=[{"n": n} for n in range(len(IDS))])
    await backend.settle()
    path = directory / "collections" / backend._open["notes"].entry.uid / "records.db"
    await backend.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    return path


def version_and_columns(path: Path) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, [row[1] for row in connection.execute("PRAGMA table_info(vectors)")]


def contents(path: Path) -> bytes:
    return path.read_bytes()


async def stamped(collection: FaissCollection, record_id: str, stamp: bytes) -> None:
    batch = RecordBatch([record_id], ONE, ["new"], [{}], [stamp])
    await collection.upsert("", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.DURABLE)


async def test_a_store_of_version_1_is_read_whole_and_written_on(open_backend: OpenBackend, old_truth: Path) -> None:
    assert version_and_columns(old_truth) == (1, ["internal_id", "checksum", "vector"])
    for reopened in range(2):
        collection = await (await open_backend(seal_threshold=16)).collection("notes")
        assert version_and_columns(old_truth)[0] == FORMAT.version
        records = await collection.get("", IDS, EVERYTHING)
        expected = [(f"text of {name}", {"n": n}) for n, name in enumerate(IDS)]
        if reopened:
            expected[5] = ("new", {})
        assert [record and (record.text, record.metadata) for record in records] == expected
        assert [record and record.encoding_stamp for record in records] == [
            b"mine" if reopened and name == "05" else b"" for name in IDS
        ]
        (hits,) = await collection.search("", ONE, SearchOptions(top_k=100))
        assert sorted(hits.ids) == IDS
        await stamped(collection, "05", b"mine")


async def test_an_upgraded_file_has_the_tables_of_a_new_one(
    open_backend: OpenBackend, old_truth: Path, directory: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("fresh", 4))
    fresh = directory / "collections" / backend._open["fresh"].entry.uid / "records.db"
    assert version_and_columns(old_truth) == version_and_columns(fresh)


async def test_an_upgrade_that_cannot_be_finished_leaves_the_file_as_it_was(
    open_backend: OpenBackend, old_truth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_full_disk(connection: sqlite3.Connection, path: Path, form: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        filler = "CREATE TABLE filler AS SELECT randomblob(9000) FROM vectors"  # what a full disk stops half-way
        upgrade_database(connection, path, type(form)(form.application_id, 2, "", {1: (*form.upgrades[1], filler)}))

    with monkeypatch.context() as patch:
        patch.setattr(truth_module, "upgrade_database", on_a_full_disk)
        with pytest.raises(StorageFullError):
            await (await open_backend()).collection("notes")
        assert version_and_columns(old_truth) == (1, ["internal_id", "checksum", "vector"])
    await (await open_backend()).close()
    assert version_and_columns(old_truth)[0] == FORMAT.version


async def test_a_crash_before_the_upgrade_is_committed_leaves_version_1(
    open_backend: OpenBackend, old_truth: Path, tmp_path: Path
) -> None:
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(old_truth, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in FORMAT.upgrades[1]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 2")
        for end in ("", "-wal"):
            file = old_truth.with_name(old_truth.name + end)
            if file.exists():
                shutil.copy(file, crashed.with_name(crashed.name + end))
        connection.execute("ROLLBACK")
    assert version_and_columns(crashed) == (1, ["internal_id", "checksum", "vector"])
    collection = await (await open_backend()).collection("notes")
    assert (await collection.size()).records == len(IDS)


@pytest.mark.parametrize(("version", "word"), [(FORMAT.version + 1, "newer vecgate"), (0, "another version")])
async def test_a_version_that_is_not_known_is_refused_and_left_alone(
    version: int, word: str, open_backend: OpenBackend, old_truth: Path
) -> None:
    with closing(sqlite3.connect(old_truth)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = contents(old_truth)
    with pytest.raises(
        StorageCorruptError, match=f"{word}.* format version {version}; this program reads version {FORMAT.version}"
    ):
        await (await open_backend()).collection("notes")
    assert contents(old_truth) == before


@pytest.mark.parametrize(
    "change",
    [
        "encoding_stamp = x'00'",
        "encoding_stamp = NULL",
        "encoding_stamp = 'text'",
        "encoding_stamp_checksum = NULL",
        "encoding_stamp_checksum = encoding_stamp_checksum + 1",
        "encoding_stamp = (SELECT encoding_stamp FROM vectors AS other WHERE other.internal_id <> vectors.internal_id)",
    ],
)
async def test_a_changed_stamp_is_refused_when_it_is_read(
    change: str, open_backend: OpenBackend, directory: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4))
    for record_id in ("a", "b"):
        await stamped(await backend.collection("notes"), record_id, f"stamp of {record_id}".encode())
    path = directory / "collections" / backend._open["notes"].entry.uid / "records.db"
    await backend.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE vectors SET {change} WHERE internal_id = 2")
    collection = await (await open_backend()).collection("notes")
    with pytest.raises(StorageCorruptError, match="the encoding stamp of record 'b' does not match its checksum"):
        await collection.get("", ["b"], Fields(encoding_stamp=True))
    a, b = await collection.get("", ["a"], EVERYTHING), await collection.get("", ["b"], Fields(vector=True))
    assert isinstance(a[0], Record)
    assert a[0].encoding_stamp == b"stamp of a"
    assert b[0] is not None
    await stamped(collection, "b", b"again")
    (healed,) = await collection.get("", ["b"], EVERYTHING)
    assert healed is not None
    assert healed.encoding_stamp == b"again"
