"""A store is verified as a whole while nobody has it open, and not a byte of it changes."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.errors import ConfigurationError, StoreLockedError
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss import truth_check as truth_check_module
from vecgate_backends.faiss.verification import CollectionReport, StoreReport, verify_store
from vecgate_backends.records import Acknowledgement, CollectionSpec, HnswIndex, RecordBatch, WriteMode

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 60
IDS = [f"record-{n:03}" for n in range(THRESHOLD)]
VICTIM = "record-007"


@pytest.fixture
async def store(open_backend: OpenBackend, put: Put, directory: Path) -> Path:
    """A closed store: "notes" with a segment, a head, a stamp and two namespaces; and "other", which is never damaged."""
    backend = await open_backend(seal_threshold=THRESHOLD)
    for name in ("notes", "other"):
        await backend.create_collection(CollectionSpec(name, 4, index=HnswIndex()))
        collection = await backend.collection(name)
        await put(collection, IDS, metadata=[{"n": n} for n in range(THRESHOLD)])
        await backend.settle()
        batch = RecordBatch(["stamped"], np.ones((1, 4), np.float32), [None], [{}], [b"a stamp"])
        await collection.upsert("games", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.DURABLE)
    await backend.close()
    return directory


def truth_of(store: Path, name: str = "notes") -> Path:
    with closing(sqlite3.connect(f"file:{store}/catalogue.db?mode=ro&immutable=1", uri=True)) as catalogue:
        (uid,) = catalogue.execute("SELECT uid FROM collections WHERE name = ?", (name,)).fetchone()
    return store / "collections" / str(uid) / "records.db"


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def image(directory: Path) -> dict[str, tuple[int, str]]:
    """What lies in a directory: name → time of the last change, and contents."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in [directory, *directory.rglob("*")]
    }


def verified(store: Path) -> StoreReport:
    """Verify, and hold that nothing on the disk changed."""
    before = image(store)
    report = verify_store(store)
    assert image(store) == before
    return report


def only_notes_damaged(report: StoreReport) -> CollectionReport:
    notes, other = report.collections
    assert (notes.name, other.name) == ("notes", "other")
    assert not report.sound
    assert not other.damage
    assert other.records == {"": THRESHOLD, "games": 1}
    return notes


def damage_after(store: Path, *statements: str) -> list[str]:
    change(truth_of(store), *statements)
    return only_notes_damaged(verified(store)).damage.sentences


def test_a_sound_store_is_counted_by_namespace(store: Path) -> None:
    report = verified(store)
    assert report.sound
    assert [(each.name, each.records, each.segments) for each in report.collections] == [
        (name, {"": THRESHOLD, "games": 1}, 1) for name in ("notes", "other")
    ]
    assert [list(each.derived) for each in report.collections] == [[], []]
    assert list(report.remarks) == []


@pytest.mark.parametrize("left_out", ["*-shm", "none"])
async def test_what_a_killed_process_left_in_the_log_is_read_and_stays_there(
    left_out: str, open_backend: OpenBackend, put: Put, directory: Path, tmp_path: Path
) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4))
    for write in range(5):
        await put(await backend.collection("notes"), [f"{write}a", f"{write}b"])
    crashed = tmp_path / "crashed"
    shutil.copytree(directory, crashed, ignore=shutil.ignore_patterns(left_out))
    (log,) = crashed.glob("collections/*/records.db-wal")
    assert log.stat().st_size > 0
    report = verified(crashed)
    assert report.sound
    assert [each.records for each in report.collections] == [{"": 10}]
    stored = bytearray(log.read_bytes())
    stored[32 + 300] ^= 1
    log.write_bytes(stored)
    report = verified(crashed)
    assert [each.damage.sentences for each in report.collections] == [
        ["records.db-wal is damaged: acknowledged writes in it cannot be read"]
    ]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE records SET metadata = '{}' WHERE id = 'V'", "the metadata of record 'V' does not match its checksum"),
        ("UPDATE records SET text = 'x' WHERE id = 'V'", "the text of record 'V' does not match its checksum"),
        ("UPDATE vectors SET vector = x'00' WHERE internal_id = 8", "the vector of record 'V' does not match"),
        ("DELETE FROM vectors WHERE internal_id = 8", "the vector of record 'V' does not match its checksum"),
        ("DELETE FROM records WHERE internal_id = 8", "1 vectors belong to no record"),
        (
            "UPDATE vectors SET encoding_stamp = x'00' WHERE encoding_stamp IS NOT NULL",
            "the encoding stamp of record 'stamped' does not match its checksum",
        ),
        ("UPDATE namespaces SET name = 'gamez' WHERE name = 'games'", "namespace 'gamez' does not match its checksum"),
        ("DELETE FROM namespaces WHERE name = 'games'", "namespace 2 has no name"),
        ("UPDATE sqlite_sequence SET seq = 8", "internal ids up to 61 are used, and would be given again"),
        ("DELETE FROM sqlite_sequence", "internal ids up to 61 are used"),
        ("UPDATE meta SET value = 'x' WHERE key = 'sequence'", "the number of its last commit cannot be read"),
        ("UPDATE meta SET value = 'x' WHERE key = 'uid'", "records.db belongs to another collection"),
        ("PRAGMA application_id = 7", "records.db is not the file that belongs there"),
        ("PRAGMA user_version = 99", "was written by a newer vecgate"),
        ("DROP TABLE meta", "records.db cannot be used: no such table: meta"),
    ],
)
def test_whatever_changed_in_the_truth_is_told(statement: str, fault: str, store: Path) -> None:
    (sentence,) = damage_after(store, statement.replace("'V'", repr(VICTIM)))
    assert fault.replace("'V'", repr(VICTIM)) in sentence


def test_a_vector_of_another_length_is_told_though_its_checksum_is_right(store: Path) -> None:
    change(store / "catalogue.db", "UPDATE collections SET spec = replace(spec, '\"dimension\":4', '\"dimension\":5')")
    report = verified(store)
    assert report.collections[0].damage.sentences[0].endswith("the vector of record 'record-000' has 16 bytes, not 20")


def test_many_faults_are_counted_and_the_first_of_them_named(store: Path) -> None:
    change(truth_of(store), "UPDATE records SET metadata = 'x', text = 'x'")
    damage = only_notes_damaged(verified(store)).damage
    assert (len(damage.sentences), damage.count) == (truth_check_module.LISTED, 2 * (THRESHOLD + 1))


@pytest.mark.parametrize("fault", ["missing", "emptied", "header", "page"])
def test_a_damaged_file_is_told(fault: str, store: Path) -> None:
    truth = truth_of(store)
    whole = bytearray(truth.read_bytes())
    match fault:
        case "missing":
            truth.unlink()
        case "emptied":
            truth.write_bytes(b"")
        case "header":
            truth.write_bytes(b"\xff" * 100 + whole[100:])
        case _:
            truth.write_bytes(whole[: 3 * 8192] + b"\xff" * 8192 + whole[4 * 8192 :])
    assert only_notes_damaged(verified(store)).damage.count > 0


def test_an_index_of_the_file_that_disagrees_with_its_table_is_told(store: Path) -> None:
    truth = truth_of(store)
    whole = bytearray(truth.read_bytes())
    # Once in the table and once in the index by id, which no reading of rows in their order would use.
    places = [at for at in range(len(whole)) if whole.startswith(VICTIM.encode(), at)]
    by_page = {at // 8192: at for at in places}
    index_page = next(page for page in by_page if whole[page * 8192] == 10)  # a leaf of an index
    whole[by_page[index_page] + len(VICTIM) - 1] ^= 0x40
    truth.write_bytes(whole)
    damage = only_notes_damaged(verified(store)).damage
    assert any("sqlite_autoindex_records_1" in sentence for sentence in damage.sentences)


@pytest.mark.parametrize("fault", ["missing", "flipped", "truncated", "parameters"])
async def test_a_damaged_segment_is_told_and_the_store_is_sound(
    fault: str, store: Path, open_backend: OpenBackend
) -> None:
    (segment,) = (truth_of(store).parent / "segments").iterdir()
    whole = bytearray(segment.read_bytes())
    match fault:
        case "missing":
            segment.unlink()
        case "flipped":
            whole[len(whole) // 2] ^= 1
            segment.write_bytes(whole)
        case "truncated":
            segment.write_bytes(whole[:100])
        case _:
            change(truth_of(store), "UPDATE segments SET parameters = '{'")
    report = verified(store)
    assert report.sound
    (sentence,) = report.collections[0].derived
    assert sentence.startswith(f"segment {segment.name}: ")
    assert sentence.endswith(f"; the next start drops it, and its {THRESHOLD} vectors are indexed anew")
    backend = await open_backend(seal_threshold=THRESHOLD)
    await backend.settle()
    assert (await (await backend.collection("notes")).size()).records == THRESHOLD + 1
    await backend.close()
    assert [list(each.derived) for each in verified(store).collections] == [[], []]


def test_files_that_do_not_belong_there_are_told_and_left(store: Path) -> None:
    collection = truth_of(store).parent
    for path in (
        collection / "segments" / "left.new",
        collection / "mine.txt",
        store / "mine.txt",
        store / "collections" / "0123",
    ):
        path.write_bytes(b"x")
    change(store / "catalogue.db", "INSERT INTO leftovers VALUES ('4567')")
    (store / "collections" / "4567").mkdir()
    report = verified(store)
    assert report.sound
    assert report.collections[0].derived == [
        "left.new is no segment of the manifest; the next start removes it",
        "mine.txt is no file of a collection; it is left as it is",
    ]
    assert report.remarks == [
        "mine.txt is no file of a store; it is left as it is",
        "collections/0123 belongs to no collection; it is left as it is",
        "collections/4567 was deleted; the next start removes it",
    ]


@pytest.mark.parametrize("fault", ["missing", "header", "settings", "version"])
def test_a_damaged_catalogue_is_told(fault: str, store: Path) -> None:
    catalogue = store / "catalogue.db"
    match fault:
        case "missing":
            catalogue.unlink()
        case "header":
            catalogue.write_bytes(b"no database" * 1000)
        case "settings":
            change(catalogue, "UPDATE collections SET spec = '{'")
        case _:
            change(catalogue, "PRAGMA user_version = 99")
    report = verified(store)
    assert not report.sound
    assert "catalogue.db" in report.damage.sentences[0]


async def test_a_store_that_is_open_is_not_verified(store: Path, open_backend: OpenBackend) -> None:
    backend = await open_backend()
    with pytest.raises(StoreLockedError, match="another process has the store"):
        verify_store(store)
    await backend.close()
    assert verified(store).sound


def test_a_copy_without_a_lock_file_is_verified_as_it_is(store: Path) -> None:
    (store / "LOCK").unlink()
    assert verified(store).sound


def test_a_directory_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no store at"):
        verify_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_an_earlier_version_is_verified_and_not_upgraded(store: Path) -> None:
    change(
        truth_of(store),
        "ALTER TABLE vectors DROP COLUMN encoding_stamp",
        "ALTER TABLE vectors DROP COLUMN encoding_stamp_checksum",
        "PRAGMA user_version = 1",
    )
    report = verified(store)
    assert report.sound
    assert report.collections[0].records == {"": THRESHOLD, "games": 1}
