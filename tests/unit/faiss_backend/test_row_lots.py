"""Statements about many rows are about each of them once, in few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.faiss.row_lots import ROWS_A_STATEMENT, delete_rows, insert_rows, lots, select_rows

WORDS = ["", "a\x00b", "größe", "'); --"]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, kind INTEGER, words TEXT, bytes BLOB)")
        yield connection


@given(st.integers(0, 1000))
def test_lots_have_all_items_in_order_and_few_sizes(count: int) -> None:
    items = range(count)
    sizes = [len(lot) for lot in lots(items)]
    assert [item for lot in lots(items) for item in lot] == list(items)
    assert set(sizes) <= {1, 2, 4, 8, 16, 32, 64}
    assert len(sizes) <= count // ROWS_A_STATEMENT + 6


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_rows_are_inserted_found_and_deleted(connection: sqlite3.Connection, count: int) -> None:
    rows = [(row, row % 2, WORDS[row % 4], None if row % 3 else bytes([row, 0])) for row in range(count)]
    insert_rows(connection, "INSERT INTO rows (number, kind, words, bytes)", rows)
    assert connection.execute("SELECT * FROM rows ORDER BY number").fetchall() == rows

    odd = "SELECT * FROM rows WHERE kind = ? AND number IN"
    assert sorted(select_rows(connection, odd, range(-5, count + 5), 1)) == [row for row in rows if row[1] == 1]

    delete_rows(connection, "DELETE FROM rows WHERE number IN", range(1, count, 2))
    assert connection.execute("SELECT * FROM rows ORDER BY number").fetchall() == rows[::2]


def test_a_failing_row_says_so(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert_rows(connection, "INSERT INTO rows (number, kind)", [(1, 1), (2, 1), (1, 2)])
