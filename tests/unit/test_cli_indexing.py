"""An indexing run can stop anywhere: the next one stores every record that was not acknowledged, and none is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate import Record, Timings, UnavailableError, UpsertResult
from vecgate.cli.checkpoint import Checkpoint, Position, checkpoint_for
from vecgate.cli.indexing import Job
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import source


class Store:
    """Stores records by id, and breaks off at the calls it is told."""

    def __init__(self, breaks: set[int]) -> None:
        self.stored: dict[str, Record] = {}
        self.sent: list[str] = []
        self._breaks = breaks
        self._calls = 0

    def upsert(self, records: list[Record]) -> UpsertResult:
        self._calls += 1
        if self._calls in self._breaks:
            raise UnavailableError("gone")
        self.sent += [record.id for record in records]
        self.stored |= {record.id: record for record in records}
        return UpsertResult(len(records), (), (), 0, 0, True, "", None, Timings())


def write_rows(path: Path, number: int, *, bad: frozenset[int] = frozenset()) -> None:
    rows = [{"id": None if line in bad else str(line), "text": f"text {line}"} for line in range(number)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def run(path: Path, store: Store, checkpoint: Checkpoint, refused: Path, batch_size: int) -> Position:
    start = checkpoint.load()
    refusals = Refusals(refused, kept_bytes=start.refused_bytes)
    job = Job(source(str(path), None, ("jsonl",)), RowMapping(), batch_size, store.upsert, checkpoint, refusals)
    try:
        return list(job.run(start))[-1] if start.rows < number_of_rows(path) else start
    finally:
        refusals.close()


def number_of_rows(path: Path) -> int:
    return path.read_text().count("\n")


@given(
    number=st.integers(1, 30),
    batch_size=st.integers(1, 7),
    breaks=st.sets(st.integers(1, 12), max_size=4),
    bad=st.frozensets(st.integers(1, 29), max_size=5),
)
def test_runs_that_break_off_together_do_what_one_run_does(
    tmp_path_factory: pytest.TempPathFactory, number: int, batch_size: int, breaks: set[int], bad: frozenset[int]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_rows(folder / "a.jsonl", number, bad=bad)
    store, checkpoint = Store(breaks), Checkpoint(folder / "state" / "a.json")
    for _ in range(len(breaks) + 1):
        try:
            position = run(folder / "a.jsonl", store, checkpoint, folder / "refused.jsonl", batch_size)
            break
        except UnavailableError:
            continue
    expected_bad = [line for line in sorted(bad) if line < number]
    good = [str(line) for line in range(number) if line not in bad]
    assert list(store.stored) == good
    assert (position.rows, position.stored, position.refused) == (number, len(good), len(expected_bad))
    refused = (folder / "refused.jsonl").read_text().splitlines() if expected_bad else []
    assert [json.loads(line)["line"] - 1 for line in refused] == expected_bad


def test_what_was_acknowledged_is_not_sent_again(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 10)
    store, checkpoint = Store({3}), Checkpoint(tmp_path / "state.json")
    with pytest.raises(UnavailableError):
        run(tmp_path / "a.jsonl", store, checkpoint, tmp_path / "refused", 2)
    assert checkpoint.load() == Position(rows=4, stored=4)
    run(tmp_path / "a.jsonl", store, checkpoint, tmp_path / "refused", 2)
    assert store.sent == [str(number) for number in range(10)]


def test_a_file_that_changed_or_another_collection_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    write_rows(file, 3)
    checkpoint_for(file, tmp_path, ["docs"]).save(Position(rows=2))
    assert checkpoint_for(file, tmp_path, ["docs"]).load().rows == 2
    assert checkpoint_for(file, tmp_path, ["other"]).load().rows == 0
    write_rows(file, 4)
    assert checkpoint_for(file, tmp_path, ["docs"]).load().rows == 0


@pytest.mark.parametrize("content", [b"", b"{}x", b"[]", b'{"unknown": 1}'])
def test_a_damaged_checkpoint_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert Checkpoint(path).load() == Position()


def test_a_cleared_checkpoint_is_gone(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "deep" / "a.json")
    checkpoint.save(Position(rows=1))
    checkpoint.clear()
    checkpoint.clear()
    assert checkpoint.load() == Position()
