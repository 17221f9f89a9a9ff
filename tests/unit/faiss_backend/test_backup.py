"""A backup of a store that is written meanwhile holds each collection as of one commit, is a store at once, and is never half a one."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vecgate_backends.answers import WriteResult
from vecgate_backends.errors import (
    BackendUnavailableError,
    ConfigurationError,
    StorageCorruptError,
    StorageFullError,
    VecgateError,
)
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.faiss import backup as backup_module
from vecgate_backends.faiss import writer as writer_module
from vecgate_backends.faiss.backup import backup_store
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.database import sync_path
from vecgate_backends.faiss.read_only import snapshot
from vecgate_backends.faiss.store import Store
from vecgate_backends.faiss.verification import check_store, verify_store
from vecgate_backends.records import Acknowledgement, CollectionSpec, Fields, FlatIndex, Record, RecordBatch, WriteMode
from vecgate_server.command import main

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
EVERYTHING = Fields(vector=True, encoding_stamp=True)
DIMENSION = 8
THRESHOLD = 100
WRITERS = 3
IDS = [f"r{n:03}" for n in range(THRESHOLD + 20)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the backup is to be."""
    return tmp_path / "copy"


@pytest.fixture
async def live(open_backend: OpenBackend, put: Put) -> FaissBackend:
    """An open store with the collections "notes" and "other", each with a segment and a head."""
    backend = await open_backend(seal_threshold=THRESHOLD)
    for name in ("notes", "other"):
        await backend.create_collection(CollectionSpec(name, DIMENSION, index=FlatIndex()))
        collection = await backend.collection(name)
        await put(collection, IDS[:THRESHOLD])
        await backend.settle()
        await put(collection, IDS[THRESHOLD:])
    return backend


async def held(collection: FaissCollection) -> dict[str, tuple[object, ...]]:
    """All that a collection holds, by id."""
    page = await collection.list_records("", None, cursor=None, limit=10_000, fields=EVERYTHING)
    return {record.id: contents(record) for record in page.records}


def contents(record: Record) -> tuple[object, ...]:
    assert record.vector is not None
    return record.text, record.metadata, record.vector.tobytes(), record.encoding_stamp


def beside(copy: Path) -> list[str]:
    """The names in the directory that the backup is made in."""
    return sorted(path.name for path in copy.parent.iterdir())


@contextmanager
def nothing_left(copy: Path) -> Iterator[None]:
    before = beside(copy)
    yield
    assert beside(copy) == before


def segment_files(copy: Path) -> list[Path]:
    return sorted(copy.glob("collections/*/segments/*"))


async def opened(copy: Path) -> FaissBackend:
    backend = FaissBackend(FaissOptions(path=copy, seal_threshold=THRESHOLD))
    await backend.start()
    return backend


async def test_the_copy_of_an_open_store_holds_the_same_and_its_index(live: FaissBackend, copy: Path) -> None:
    report = await asyncio.to_thread(backup_store, live._options.path, copy)
    assert report is not None
    assert [each.records for each in report.collections] == [{"": len(IDS)}] * 2
    verified = verify_store(copy)
    assert verified.sound
    assert [list(each.derived) for each in verified.collections] == [[], []]
    assert verified.remarks == []
    copied = await opened(copy)
    for name in ("notes", "other"):
        original, collection = await live.collection(name), await copied.collection(name)
        assert await held(collection) == await held(original)
        assert [segment.row for segment in collection._partition("").segments] == [
            segment.row for segment in original._partition("").segments
        ]
    await copied.close()


async def test_the_copy_goes_its_own_way(live: FaissBackend, copy: Path, put: Put) -> None:
    await asyncio.to_thread(backup_store, live._options.path, copy)
    before = await held(await live.collection("notes"))
    copied = await opened(copy)
    await copied.delete_collection("other")
    await put(await copied.collection("notes"), IDS)
    await copied.settle()
    await copied.close()
    assert await held(await live.collection("notes")) == before
    again = await asyncio.to_thread(backup_store, live._options.path, copy.with_name("again"))
    assert again is not None
    assert [list(each.derived) for each in again.collections] == [[], []]


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EPERM])
async def test_segments_are_copied_where_they_cannot_be_linked(
    refusal: int, live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(refusal, "refused")

    monkeypatch.setattr(os, "link", refuse)
    await asyncio.to_thread(backup_store, live._options.path, copy)
    segment, _ = segment_files(copy)
    assert segment.stat().st_nlink == 1
    assert [list(each.derived) for each in verify_store(copy).collections] == [[], []]


async def test_without_the_index_it_is_built_anew(live: FaissBackend, copy: Path) -> None:
    await asyncio.to_thread(backup_store, live._options.path, copy, with_segments=False)
    assert segment_files(copy) == []
    assert [(each.segments, list(each.derived)) for each in verify_store(copy).collections] == [(0, [])] * 2
    copied = await opened(copy)
    await copied.settle()
    collection = await copied.collection("notes")
    assert len(collection._partition("").segments) == 1
    assert await held(collection) == await held(await live.collection("notes"))
    await copied.close()


@pytest.mark.parametrize("times", [1, backup_module.ATTEMPTS])
async def test_a_segment_that_a_merge_takes_away_makes_no_hole(
    times: int, live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = itertools.chain([True] * times, itertools.repeat(False))
    link = os.link

    def sometimes(source: Path, target: Path) -> None:
        if next(gone):
            raise FileNotFoundError(errno.ENOENT, "gone", str(source))
        link(source, target)

    monkeypatch.setattr(os, "link", sometimes)
    await asyncio.to_thread(backup_store, live._options.path, copy)
    first, second = verify_store(copy).collections
    assert sorted([first.segments, second.segments]) == ([1, 1] if times < backup_module.ATTEMPTS else [0, 1])
    assert [list(first.derived), list(second.derived)] == [[], []]
    copied = await opened(copy)
    assert await held(await copied.collection("notes")) == await held(await live.collection("notes"))
    await copied.close()


class Writer:
    """Replaces the same ten records of its own over and over, each time with one commit and a version of its own."""

    def __init__(self, number: int) -> None:
        self.ids = [f"w{number}-{n}" for n in range(10)]
        self.began = self.acknowledged = 0

    async def run(self, collection: FaissCollection, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.began += 1
            vectors = np.full((10, DIMENSION), self.began, np.float32)
            version = [{"version": self.began}] * 10
            batch = RecordBatch(self.ids, vectors, ["x" * 2000] * 10, version)
            await collection.upsert("", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.DURABLE)
            self.acknowledged = self.began


async def test_copies_made_beside_writers_and_merges_hold_whole_commits_and_all_that_was_acknowledged(
    open_backend: OpenBackend, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_BYTES", 1 << 18)
    monkeypatch.setattr(backup_module, "PAGES_A_STEP", 1)
    backend = await open_backend(seal_threshold=10)
    await backend.create_collection(CollectionSpec("notes", DIMENSION, index=FlatIndex()))
    collection = await backend.collection("notes")
    writers, stop = [Writer(number) for number in range(WRITERS)], asyncio.Event()
    bounds = []
    async with asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.run(collection, stop))
        for number in range(4):
            least = [writer.acknowledged for writer in writers]
            if number % 2:
                await asyncio.to_thread(backup_store, directory, tmp_path / f"copy{number}")
            else:
                assert (await command("backup", directory, tmp_path / f"copy{number}"))[0] == 0
            bounds.append((least, [writer.began for writer in writers]))
        stop.set()
    assert bounds[-1][0] > bounds[0][1]  # it was written meanwhile
    for number, (least, most) in enumerate(bounds):
        report = verify_store(tmp_path / f"copy{number}")
        assert report.sound
        assert list(report.collections[0].derived) == []
        copied = await opened(tmp_path / f"copy{number}")
        records = (
            await (await copied.collection("notes")).list_records("", None, cursor=None, limit=99, fields=EVERYTHING)
        ).records
        for writer, low, high in zip(writers, least, most, strict=True):
            versions = {int(str(record.metadata["version"])) for record in records if record.id in writer.ids}
            assert len(versions) == (1 if low else len(versions))
            assert all(low <= version <= high for version in versions)
            assert sum(record.id in writer.ids for record in records) in ({10} if low else {0, 10})
        await copied.close()
    assert (await backend.collection("notes"))._writer._closing is False


async def command(*arguments: object) -> tuple[int, str, str]:
    """Run vecgate-server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vecgate_server", *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), complaint.decode()


async def during_the_copy(
    live: FaissBackend,
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[], Coroutine[Any, Any, None]],
    *,
    before: bool,
) -> list[str]:
    """Make a backup while something changes right before or after the first collection is copied; return what the copy holds."""
    loop = asyncio.get_running_loop()
    original = backup_module._copy_collection
    pending = [change]

    def changing(*arguments: Any, **options: Any) -> None:
        if not before:
            original(*arguments, **options)
        if pending:
            asyncio.run_coroutine_threadsafe(pending.pop()(), loop).result()
        if before:
            original(*arguments, **options)

    monkeypatch.setattr(backup_module, "_copy_collection", changing)
    await asyncio.to_thread(backup_store, live._options.path, copy)
    report = verify_store(copy)
    assert report.sound
    assert report.remarks == []
    return [collection.name for collection in report.collections]


@pytest.mark.parametrize("before", [True, False])
async def test_a_collection_that_is_deleted_meanwhile_is_not_in_the_copy(
    before: bool, live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def delete() -> None:
        await live.delete_collection("notes")

    assert await during_the_copy(live, copy, monkeypatch, delete, before=before) == ["other"]


@pytest.mark.parametrize("before", [True, False])
async def test_a_collection_that_is_made_anew_meanwhile_is_in_the_copy(
    before: bool, live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch, put: Put
) -> None:
    async def make_anew() -> None:
        await live.delete_collection("notes")
        for name in ("notes", "third"):
            await live.create_collection(CollectionSpec(name, DIMENSION))
            await put(await live.collection(name), ["new"])

    assert await during_the_copy(live, copy, monkeypatch, make_anew, before=before) == ["notes", "other", "third"]
    copied = await opened(copy)
    assert list(await held(await copied.collection("notes"))) == ["new"]
    await copied.close()


@pytest.mark.parametrize("checked", [True, False])
async def test_a_damaged_record_makes_no_backup_unless_nothing_is_checked(
    checked: bool, live: FaissBackend, copy: Path, directory: Path
) -> None:
    await live.close()
    truth = directory / "collections" / _uid(directory, "notes") / "records.db"
    whole = truth.read_bytes()
    assert whole.count(b"text of r007") == 1
    truth.write_bytes(whole.replace(b"text of r007", b"text of r00?"))
    if checked:
        with (
            nothing_left(copy),
            pytest.raises(StorageCorruptError, match=r"no backup was made, .* the text of record 'r007'"),
        ):
            backup_store(directory, copy)
    else:
        assert backup_store(directory, copy, checked=False) is None
        assert not verify_store(copy).sound


def _uid(directory: Path, name: str) -> str:
    with snapshot(directory / "catalogue.db") as catalogue:
        return str(catalogue.execute("SELECT uid FROM collections WHERE name = ?", (name,)).fetchone()[0])


async def test_a_damaged_log_makes_no_backup_and_stays(
    live: FaissBackend, copy: Path, directory: Path, tmp_path: Path, put: Put
) -> None:
    for write in range(5):
        await put(await live.collection("notes"), [f"{write}"])
    crashed = tmp_path / "crashed"
    shutil.copytree(directory, crashed)
    log = crashed / "collections" / _uid(directory, "notes") / "records.db-wal"
    stored = bytearray(log.read_bytes())
    stored[32 + 300] ^= 1
    log.write_bytes(stored)
    with (
        nothing_left(copy),
        pytest.raises(StorageCorruptError, match=r"collection 'notes': records\.db-wal is damaged"),
    ):
        backup_store(crashed, copy)
    assert log.read_bytes() == bytes(stored)


async def test_a_missing_file_of_a_collection_makes_no_backup(live: FaissBackend, copy: Path, directory: Path) -> None:
    await live.close()
    (directory / "collections" / _uid(directory, "other") / "records.db").unlink()
    with nothing_left(copy), pytest.raises(StorageCorruptError, match=r"collection 'other': .*records\.db is missing"):
        backup_store(directory, copy)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageFullError, "No space left on device"),
        (OSError(errno.EIO, "Input/output error"), BackendUnavailableError, "Input/output error"),
    ],
    ids=["full", "broken"],
)
@pytest.mark.parametrize("step", range(1, 9))
async def test_a_failure_at_any_step_leaves_no_copy(
    step: int,
    error: OSError,
    kind: type[VecgateError],
    sentence: str,
    live: FaissBackend,
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = itertools.count(1)

    def failing(path: Path) -> None:
        if next(steps) == step:
            raise error
        sync_path(path)

    monkeypatch.setattr(backup_module, "sync_path", failing)
    with nothing_left(copy), pytest.raises(kind, match=sentence):
        await asyncio.to_thread(backup_store, live._options.path, copy)
    assert (await (await live.collection("notes")).size()).records == len(IDS)


async def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(live: FaissBackend, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = f"""
        mount -t tmpfs -o size=96k none {small} || exit 77
        {sys.executable} -m vecgate_server backup {live._options.path} {small}/copy
        echo $? $(ls {small})
    """
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, complaint = await process.communicate()
    if not out:
        pytest.skip(f"no small file system can be mounted here: {complaint.decode()}")
    assert out.decode() == "1\n"
    assert re.fullmatch(
        r"vecgate-server: collection '\w+': records\.db cannot grow, the disk is full: [^\n]+\n", complaint.decode()
    )


KILLED_AT = {
    "before the first page": "backup._copy_pages",
    "when a collection is copied": "backup._StoreCopy._finish",
    "before the check": "backup.check_store",
    "before it gets its name": "pathlib.Path.rename",
}


@pytest.mark.parametrize("moment", KILLED_AT.values(), ids=KILLED_AT)
async def test_a_killed_backup_leaves_the_store_as_it_was_and_no_copy(
    moment: str, live: FaissBackend, copy: Path, put: Put
) -> None:
    times = 2 if moment.endswith("_finish") else 1
    script = f"""if True:
        import os, pathlib, sys
        from vecgate_backends.faiss import backup
        original, calls = {moment}, []
        def killed(*arguments, **options):
            calls.append(None)
            if len(calls) == {times}:
                os.kill(os.getpid(), 9)
            return original(*arguments, **options)
        {moment} = killed
        backup.backup_store(*map(pathlib.Path, sys.argv[1:]))
    """
    before = await held(await live.collection("notes"))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(live._options.path), str(copy))
    assert await process.wait() == -signal.SIGKILL
    assert beside(copy) == ["copy.partial", "store"]
    for use in (verify_store, lambda path: backup_store(path, copy), Store.open):
        with pytest.raises(ConfigurationError, match="was left by a backup that did not end"):
            await asyncio.to_thread(use, copy.with_name("copy.partial"))
    assert await held(await live.collection("notes")) == before
    await put(await live.collection("notes"), ["later"])
    await asyncio.to_thread(backup_store, live._options.path, copy)
    assert beside(copy) == ["copy", "store"]
    assert verify_store(copy).collections[0].records == {"": len(IDS) + 1}
    await live.close()
    assert verify_store(live._options.path).sound


async def test_an_interrupted_backup_is_cleared_away(
    live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup_module, "check_store", interrupt)
    with nothing_left(copy):
        result = CliRunner().invoke(main, ["backup", str(live._options.path), str(copy)])
    assert (result.exit_code, result.stderr) == (130, "vecgate-server: interrupted, and no backup was made\n")


async def test_half_a_copy_is_no_store(live: FaissBackend, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    finish = backup_module._StoreCopy._finish

    def stopping(self: Any) -> Any:
        if self._copied:
            seen.append(sorted(path.name for path in self._target.iterdir()))
        return finish(self)

    monkeypatch.setattr(backup_module._StoreCopy, "_finish", stopping)
    await asyncio.to_thread(backup_store, live._options.path, copy)
    assert seen == [["LOCK", "collections"]]  # a start refuses that: test_store holds it


@pytest.mark.usefixtures("live")
def test_a_place_that_is_taken_is_refused_and_left(copy: Path, directory: Path) -> None:
    partial = copy.with_name("copy.partial")
    copy.mkdir()
    with pytest.raises(ConfigurationError, match="exists; a backup makes a directory of its own"):
        backup_store(directory, copy)
    copy.rmdir()
    for name in ("mine.txt", "LOCK", "catalogue.db"):
        partial.mkdir(exist_ok=True)
        (partial / name).touch()
    with pytest.raises(ConfigurationError, match=r"copy\.partial is in the way"):
        backup_store(directory, copy)
    assert len(list(partial.iterdir())) == 3
    (partial / "LOCK").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"copy\.partial is in the way"):
        backup_store(directory, copy)
    shutil.rmtree(partial)
    with pytest.raises(ConfigurationError, match="lies in the store itself"):
        backup_store(directory, directory / "collections" / "copy")
    with pytest.raises(ConfigurationError, match="cannot be made: No such file or directory"):
        backup_store(directory, copy / "below")
    with pytest.raises(ConfigurationError, match="there is no store at"):
        backup_store(copy.with_name("nowhere"), copy)
    assert not copy.exists()


async def test_two_backups_to_one_place_do_not_mix(
    live: FaissBackend, copy: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def checking(path: Path) -> Any:
        with pytest.raises(ConfigurationError, match=r"another backup is writing .*copy\.partial"):
            backup_store(directory, copy)
        return check_store(path)

    monkeypatch.setattr(backup_module, "check_store", checking)
    await asyncio.to_thread(backup_store, directory, copy)
    assert verify_store(copy).sound


async def test_commits_go_on_while_a_copy_is_read_and_the_log_is_emptied_afterwards(
    live: FaissBackend, put: Put, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_BYTES", 1 << 16)
    truth = directory / "collections" / _uid(directory, "notes") / "records.db"
    log = truth.with_name("records.db-wal")
    collection = await live.collection("notes")
    with snapshot(truth) as connection:
        count = "SELECT count(*) FROM records"
        before = connection.execute(count).fetchone()
        for begin in range(0, 2000, 200):
            await put(collection, [f"later{n}" for n in range(begin, begin + 200)])
        assert connection.execute(count).fetchone() == before
        grown = log.stat().st_size
    for write in range(40):
        await put(collection, [f"last{write}-{n}" for n in range(40)])
        if log.stat().st_size < grown / 2:
            break
    assert log.stat().st_size < grown / 2
    assert (await collection.size()).records == len(IDS) + 2000 + 40 * (write + 1)
