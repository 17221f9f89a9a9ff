"""Statements about many rows are about each of them once, in few statements, and touch no file but the store's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.faiss.row_lots import BYTES_A_STATEMENT, ROWS_A_STATEMENT, execute_on, insert_rows, lots
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


@pytest.mark.parametrize("statement", [SELECT_VERSIONS, "DELETE FROM records"])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [("internal_id IN", "(rowid=?)"), ("namespace = 1 AND id IN", "(namespace=? AND id=?)")],
)
def test_records_are_looked_up_by_an_index(truth: sqlite3.Connection, statement: str, wanted: str, index: str) -> None:
    values = ", ".join("?" * ROWS_A_STATEMENT)
    plan = truth.execute(f"EXPLAIN QUERY PLAN {statement} WHERE {wanted} ({values})", [1] * ROWS_A_STATEMENT).fetchall()
    (searched,) = {step[3] for step in plan if "records" in step[3]}
    assert searched.startswith("SEARCH")
    assert searched.endswith(index)


def test_writing_opens_no_file_beside_the_store(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("writer_without_files.py")), str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "undone in memory" in found.stdout:
        pytest.skip("this SQLite keeps in memory what it may have to undo")
    assert (found.stdout, found.stderr) == ("written\n", "")
