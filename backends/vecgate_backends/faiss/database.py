"""SQLite files that hold the truth: how they are made, opened and checked, and what their errors mean."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vecgate_backends.errors import (
    BackendUnavailableError,
    StorageCorruptError,
    StorageFullError,
    VecgateError,
)
from vecgate_backends.faiss.write_ahead_log import check_log

logger = logging.getLogger(__name__)

PAGE_BYTES = 8192
"""Five vectors of 384 dimensions fit one page; pages of 4096 bytes would waste a quarter."""
READER_LEAVES_MS = 100
"""Wait for readers before a log that they need is left to grow: each read of the event loop's ends far sooner."""
CHECKED_BYTES = 64 * 2**20
"""Files up to this size get SQLite's quick check when opened: about 0.2 s. Larger ones would hold up the start."""


@dataclass(frozen=True, slots=True)
class Format:
    """What kind of file it is: the application id and version in SQLite's header, and the statements that make its tables.

    `upgrades`: older version that is still read → the statements that make a file of it one of the version after it.
    """

    application_id: int
    version: int
    schema: str
    upgrades: Mapping[int, Sequence[str]] = field(default_factory=dict)


def create_database(path: Path, form: Format) -> None:
    """Make an empty file, complete or not at all: it is written under another name and renamed.

    Raises:
        StorageFullError, BackendUnavailableError: it cannot be written.
    """
    draft = path.with_name(path.name + ".new")
    for left_by_a_crash in (draft, path.with_name(draft.name + "-wal"), path.with_name(draft.name + "-shm")):
        left_by_a_crash.unlink(missing_ok=True)
    with translated_errors(path), closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # the finished draft is synced once
        # These are fixed by the first table, so they come before it.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {form.application_id}")
        connection.executescript(f"BEGIN; {form.schema}; PRAGMA user_version = {form.version}; COMMIT")
    sync_path(draft)
    draft.rename(path)
    sync_path(path.parent)


def open_database(path: Path, form: Format, *, thorough: bool = True) -> sqlite3.Connection:
    """Open an existing file; the connection may be used from any one thread at a time, and begins no transaction by itself.

    A file of an older version that `form` knows stays as it is until upgrade_database. With `thorough` the pages of a file of up to CHECKED_BYTES are checked, not its header alone, and so is the write-ahead log, if no
    one else has the file open.

    Raises:
        StorageCorruptError: it is missing, damaged, of another kind or of a version that this program does not know.
        BackendUnavailableError: it cannot be read for another reason.
    """
    if not path.is_file():
        raise StorageCorruptError(f"{path} is missing")
    if thorough:
        try:
            check_log(path)  # before SQLite sees it, which would clear it away
        except OSError as error:
            raise BackendUnavailableError(f"{path.name} cannot be used: {error}") from error
    with translated_errors(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            _check(connection, path, form, thorough=thorough)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = OFF")  # some distributions build SQLite with it on
            # The writer checkpoints when no reader is pinned, so that the log can start over.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            connection.close()
            raise
    return connection


def upgrade_database(connection: sqlite3.Connection, path: Path, form: Format) -> None:
    """Make an open file of an older version one of this version, durably and completely or not at all.

    Raises:
        StorageFullError, BackendUnavailableError: it cannot be written.
    """
    version = _pragma(connection, "user_version")
    if version == form.version:
        return
    with translated_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for older in range(version, form.version):
                for statement in form.upgrades[older]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {form.version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    logger.info("%s is now of format version %d, it was of %d", path, form.version, version)


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors about a file into this project's."""
    try:
        yield
    except sqlite3.Error as error:
        # The low byte is the primary code. Python's own complaint that a text is not UTF-8 has none.
        unreadable_text = sqlite3.SQLITE_CORRUPT if isinstance(error, sqlite3.OperationalError) else sqlite3.SQLITE_OK
        code = getattr(error, "sqlite_errorcode", unreadable_text)
        found = _ERRORS.get(code) or _ERRORS.get(code & 0xFF)
        kind, meaning = found or (BackendUnavailableError, "cannot be used")
        raise kind(f"{path.name} {meaning}: {error}") from error


def empty_log(connection: sqlite3.Connection) -> bool:
    """Copy the write-ahead log into the file and empty it; False if a reader, such as another program, goes on needing it."""
    (waits,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {READER_LEAVES_MS}")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waits}")
    return not busy


def sync_path(path: Path) -> None:
    """Make the contents of a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_format(connection: sqlite3.Connection, path: Path, form: Format) -> int:
    """Return the version of an open file, once it is known to be of this kind and of a version that this program reads.

    Raises:
        StorageCorruptError: it is not.
    """
    if _pragma(connection, "application_id") != form.application_id:
        raise StorageCorruptError(f"{path.name} is not the file that belongs there")
    version = _pragma(connection, "user_version")
    if version != form.version and version not in form.upgrades:
        origin = "was written by a newer vecgate: it" if version > form.version else "is of another version: it"
        raise StorageCorruptError(
            f"{path.name} {origin} has format version {version}; this program reads version {form.version}"
        )
    return version


def _check(connection: sqlite3.Connection, path: Path, form: Format, *, thorough: bool) -> None:
    check_format(connection, path, form)
    if thorough and path.stat().st_size <= CHECKED_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StorageCorruptError(f"{path.name} is damaged: {verdict}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


_ERRORS: Mapping[int, tuple[type[VecgateError], str]] = MappingProxyType(
    {
        sqlite3.SQLITE_CORRUPT: (StorageCorruptError, "is damaged"),
        sqlite3.SQLITE_NOTADB: (StorageCorruptError, "is not a database"),
        sqlite3.SQLITE_FULL: (StorageFullError, "cannot grow, the disk is full"),
        # The file beside it through which its connections share an index of the log, which a start makes anew.
        sqlite3.SQLITE_IOERR_SHMSIZE: (StorageFullError, "cannot be used, the disk is full"),
    }
)
"""SQLite's result code, or the primary one of a group → our error and what to say of the file."""
