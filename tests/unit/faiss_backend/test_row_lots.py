"""Statements about many rows are about each of them once, in few statements, and touch no file but the store's."""

from __future__ import annotations

import os
import resource
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.faiss.row_lots import BYTES_A_STATEMENT, ROWS_A_STATEMENT, execute_on, insert_rows, lots
from vecgate_backends.faiss.transaction import NewVersion, Transaction
from vecgate_backends.faiss.truth import SELECT_VERSIONS, create_truth, open_truth

WORDS = ["", "a\x00b", "größe", "'); --"]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, kind INTEGER, words TEXT, bytes BLOB)")
        yield connection


@pytest.fixture
def truth(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    create_truth(tmp_path / "records.db", "uid")
    with closing(open_truth(tmp_path / "records.db", "uid")) as connection:
        yield connection


@given(
    st.lists(st.sampled_from([0, 1, BYTES_A_STATEMENT // 5, BYTES_A_STATEMENT, 3 * BYTES_A_STATEMENT]), max_size=200)
)
def test_lots_have_all_items_in_order_and_few_sizes(sizes: list[int]) -> None:
    made = list(lots(range(len(sizes)), sizes))
    assert [item for lot in made for item in lot] == list(range(len(sizes)))
    assert {len(lot) for lot in made} <= {1, 2, 4, 8, 16, 32}
    for lot in made:
        assert len(lot) == 1 or sum(sizes[item] for item in lot) <= BYTES_A_STATEMENT


@given(st.integers(0, 1000))
def test_short_items_make_few_lots(count: int) -> None:
    assert len(list(lots(range(count)))) <= count // ROWS_A_STATEMENT + 5


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 200])
def test_rows_are_inserted_found_and_deleted(connection: sqlite3.Connection, count: int) -> None:
    rows = [(row, row % 2, f"{WORDS[row % 4]}{row}", None if row % 3 else bytes([row, 0])) for row in range(count)]
    for lot in lots(rows):
        insert_rows(connection, "INSERT INTO rows (number, kind, words, bytes)", lot)
    assert connection.execute("SELECT * FROM rows ORDER BY number").fetchall() == rows

    of_kind = "SELECT * FROM rows WHERE kind = ? AND words IN"
    names = [row[2] for row in rows] + ["missing", "a"]
    found = [row for some in execute_on(connection, of_kind, names, 1) for row in some]
    assert sorted(found) == [row for row in rows if row[1] == 1]

    assert not any(execute_on(connection, "DELETE FROM rows WHERE number IN", range(1, count, 2)))
    assert connection.execute("SELECT * FROM rows ORDER BY number").fetchall() == rows[::2]


def test_a_failing_row_says_so(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, "INSERT OR FAIL INTO rows (number, kind)", [(1, 1), (2, 1), (1, 2)])


@pytest.mark.parametrize("wanted", ["internal_id IN (?, ?)", "namespace = ? AND id IN (?, ?)"])
def test_records_are_looked_up_by_an_index(truth: sqlite3.Connection, wanted: str) -> None:
    values = [1] * wanted.count("?")
    plan = truth.execute(f"EXPLAIN QUERY PLAN {SELECT_VERSIONS} WHERE {wanted}", values).fetchall()
    (searched,) = {step[3] for step in plan}
    assert searched.startswith("SEARCH records USING")
    assert searched.endswith(("(rowid=?)", "(namespace=? AND id=?)"))


def test_writing_opens_no_file_beside_the_store(truth: sqlite3.Connection) -> None:
    def written(count: int) -> list[int]:
        truth.execute("BEGIN IMMEDIATE")
        transaction = Transaction(truth)
        vector = np.ones(4, np.float32)
        ids = [uuid.uuid4().hex for _ in range(count)]
        made = transaction.insert(transaction.namespace(""), [NewVersion(own, None, {}, vector, b"") for own in ids])
        truth.execute("COMMIT")
        return list(made)

    gone = written(20_000)[
        ::100
    ]  # their ids, by which they are found, lie on more pages than SQLite would undo in memory
    written(ROWS_A_STATEMENT)
    with no_file_to_open():
        written(ROWS_A_STATEMENT)
        truth.execute("BEGIN IMMEDIATE")
        Transaction(truth, journaled_to=gone[-1]).delete(gone)
        truth.execute("COMMIT")


@contextmanager
def no_file_to_open() -> Iterator[None]:
    """Let every attempt of this process to open a file fail."""
    with open(os.devnull) as lowest:  # noqa: PTH123  # what counts is the number of the descriptor
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                open(os.devnull)  # noqa: PTH123, SIM115  # it cannot
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
