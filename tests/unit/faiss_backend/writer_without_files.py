"""Writes records while it may open no file; a process of its own, since that is true of all its threads.

It prints "undone in memory" where this SQLite opens no file even for statements that are to be undone alone, and "written" in the end.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from vecgate_backends.faiss.row_lots import ROWS_A_STATEMENT, insert_rows
from vecgate_backends.faiss.transaction import NewVersion, Transaction
from vecgate_backends.faiss.truth import create_truth, open_truth

FILLED = 20_000
"""Records whose ids lie on many pages: a lot of new ones changes more of them than SQLite would copy in memory."""


def write(truth: sqlite3.Connection, count: int) -> None:
    """Commit new records."""
    truth.execute("BEGIN IMMEDIATE")
    transaction = Transaction(truth)
    vector = np.ones(4, np.float32)
    versions = [NewVersion(uuid.uuid4().hex, None, {}, vector, b"") for _ in range(count)]
    transaction.insert(transaction.namespace(""), versions)
    truth.execute("COMMIT")


def opens_a_file(truth: sqlite3.Connection) -> bool:
    """Return whether rows that are to be inserted all or not at all make SQLite open a file."""
    truth.execute("BEGIN IMMEDIATE")
    rows = [(10**6 + row, 1, uuid.uuid4().hex, "{}", 0, 0, None) for row in range(ROWS_A_STATEMENT)]
    columns = "internal_id, namespace, id, metadata, checksum, text_checksum, text"
    try:
        insert_rows(truth, f"INSERT INTO records ({columns})", rows)
    except sqlite3.OperationalError:
        return True
    finally:
        if truth.in_transaction:
            truth.execute("ROLLBACK")
    return False


@contextmanager
def no_file_to_open() -> Iterator[None]:
    """Let every attempt to open a file fail."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    with suppress(OSError):
        os.open(os.devnull, os.O_RDONLY)
        raise AssertionError("a file could be opened")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(directory: Path) -> None:
    """Fill a store, then write into it."""
    create_truth(directory / "records.db", "uid")
    with closing(open_truth(directory / "records.db", "uid")) as truth:
        write(truth, FILLED)
        write(truth, ROWS_A_STATEMENT)
        with no_file_to_open():
            if not opens_a_file(truth):
                sys.stdout.write("undone in memory\n")
            write(truth, ROWS_A_STATEMENT)
            sys.stdout.write("written\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
