"""Opening a SQLite file to read it alone: one that no one has open, without a trace, or one that a server is writing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vecgate_backends.errors import BackendUnavailableError, StorageCorruptError
from vecgate_backends.faiss.database import translated_errors
from vecgate_backends.faiss.write_ahead_log import check_log

CACHE_KIB = 16 * 1024
"""Pages held while a whole file is checked: the check of an index goes back and forth between its pages and those of the table."""


@contextmanager
def at_rest(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that no one has open, its write-ahead log included, and change nothing: no file is made, emptied or removed.

    Raises:
        StorageCorruptError: it is missing or damaged, or its log is.
        BackendUnavailableError: it cannot be read for another reason.
    """
    _require_sound_log(path)
    log = path.with_name(path.name + "-wal")
    logged = log.exists() and log.stat().st_size > 0
    # A file that is called immutable is read without its log. With one, SQLite wants a file of shared memory beside it, unless
    # it has the file to itself; the lock for that needs a file open for writing, and the directory's lock makes it needless.
    how = "vfs=unix-none" if logged else "immutable=1"
    with translated_errors(path), closing(_opened(path, how)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        yield connection


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that others may be writing, and see one commit of it until the block is left.

    Commits go on meanwhile; the write-ahead log cannot be emptied.

    Raises:
        StorageCorruptError, BackendUnavailableError: as at_rest.
    """
    _require_file(path)
    with translated_errors(path), closing(_opened(path, "cache=private")) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the commit is chosen by the first read
        _require_sound_log(path)
        yield connection


def _opened(path: Path, how: str) -> sqlite3.Connection:
    """Open a file to read. Closing such a connection never empties a log, so that a damaged one stays as evidence."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&{how}", uri=True, isolation_level=None)


def _require_sound_log(path: Path) -> None:
    _require_file(path)
    try:
        check_log(path)
    except OSError as error:
        raise BackendUnavailableError(f"{path.name} cannot be used: {error}") from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise StorageCorruptError(f"{path} is missing")
