"""A write-ahead log that was damaged is refused; one that a crash cut short is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import Everything
from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss import FaissBackend, FaissOptions
from vecgate_backends.faiss.database import PAGE_BYTES
from vecgate_backends.faiss.write_ahead_log import check_log
from vecgate_backends.records import CollectionSpec

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
HEADER_BYTES = 32
FRAME_BYTES = 24 + PAGE_BYTES
WRITES = 6


@pytest.fixture
async def crashed(open_backend: OpenBackend, put: Put, directory: Path, tmp_path: Path) -> Path:
    """A store as a killed process leaves it: six writes of two records each, all in the log."""
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("c", 4))
    collection = await backend.collection("c")
    for write in range(WRITES):
        await put(collection, [f"{write}a", f"{write}b"])
    image = tmp_path / "crashed"
    shutil.copytree(directory, image)
    return image


def log_of(store: Path) -> Path:
    (found,) = store.glob("collections/*/records.db-wal")
    return found


def commits(log: Path) -> list[int]:
    """Return where each commit of a log ends."""
    stored = log.read_bytes()
    frames = range(HEADER_BYTES, len(stored), FRAME_BYTES)
    return [at + FRAME_BYTES for at in frames if any(stored[at + 4 : at + 8])]


def flip(path: Path, at: int) -> None:
    stored = bytearray(path.read_bytes())
    stored[at] ^= 0x10
    path.write_bytes(stored)


async def counted(store: Path) -> int:
    backend = FaissBackend(FaissOptions(path=store))
    await backend.start()
    try:
        return await (await backend.collection("c")).count("", Everything())
    finally:
        await backend.close()


async def test_the_log_of_a_killed_process_is_read_whole(crashed: Path) -> None:
    assert await counted(crashed) == 2 * WRITES


@pytest.mark.parametrize(
    "at",
    [
        0,
        9,
        17,
        25,
        HEADER_BYTES,
        HEADER_BYTES + 9,
        HEADER_BYTES + 17,
        HEADER_BYTES + 300,
        HEADER_BYTES + FRAME_BYTES + 40,
    ],
)
async def test_a_damaged_log_is_refused_and_left_as_it_is(crashed: Path, at: int) -> None:
    log = log_of(crashed)
    flip(log, at)
    before = log.read_bytes()
    with pytest.raises(StorageCorruptError, match=r"records\.db-wal is damaged"):
        await counted(crashed)
    assert log.read_bytes() == before


async def test_damage_in_any_commit_but_the_last_two_is_refused(crashed: Path) -> None:
    log = log_of(crashed)
    for end in commits(log)[:-2]:
        flip(log, end - 1)
        with pytest.raises(StorageCorruptError):
            await counted(crashed)
        flip(log, end - 1)
    assert await counted(crashed) == 2 * WRITES


async def test_a_last_commit_that_a_crash_cut_short_is_dropped_alone(crashed: Path) -> None:
    log = log_of(crashed)
    os.truncate(log, commits(log)[-1] - 100)
    assert await counted(crashed) == 2 * (WRITES - 1)


async def test_a_last_commit_with_a_page_that_never_reached_the_disk_is_dropped_alone(crashed: Path) -> None:
    log = log_of(crashed)
    flip(log, commits(log)[-2] + 100)
    assert await counted(crashed) == 2 * (WRITES - 1)


async def test_commits_of_an_earlier_log_behind_the_end_are_no_damage(tmp_path: Path) -> None:
    database = tmp_path / "any.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    connection = sqlite3.connect(database, isolation_level=None)
    for number in range(20):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    connection.execute("INSERT INTO t VALUES (20)")
    check_log(database)
    connection.close()


async def test_the_catalogue_keeps_no_commit_in_its_log(open_backend: OpenBackend, directory: Path) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("c", 4))
    assert (directory / "catalogue.db-wal").stat().st_size == 0
    await backend.delete_collection("c")
    assert (directory / "catalogue.db-wal").stat().st_size == 0
