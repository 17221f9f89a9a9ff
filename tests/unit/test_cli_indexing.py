"""An indexing run can stop anywhere: the next one stores every record that was not acknowledged, and none is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate import InvalidArgumentError, Record, RecordFailure, UnavailableError, UpsertProgress
from vecgate.cli.checkpoint import Checkpoint, Position, checkpoint_for
from vecgate.cli.indexing import Job, batched
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_readers import Row
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import file_identity, source


class Store:
    """Stores records by id in batches of a size, refuses those it is told, and breaks off at the batches it is told."""

    def __init__(self, breaks: set[int], batch_size: int, refused: frozenset[str] = frozenset()) -> None:
        self.stored: dict[str, Record] = {}
        self.sent: list[str] = []
        self._breaks = breaks
        self._batch_size = batch_size
        self._refused = refused
        self._calls = 0

    def __call__(
        self, records: Iterator[Record], *, namespace: str, on_progress: Callable[[UpsertProgress], None]
    ) -> None:
        assert namespace == ""
        finished = reused = 0
        for batch in batched(records, self._batch_size):
            self._calls += 1
            if self._calls in self._breaks:
                raise UnavailableError("gone")
            self.sent += [record.id for record in batch]
            failures = tuple(
                RecordFailure(finished + place, record.id, InvalidArgumentError("no"))
                for place, record in enumerate(batch)
                if record.id in self._refused
            )
            self.stored |= {record.id: record for record in batch if record.id not in self._refused}
            finished, reused = finished + len(batch), reused + 1
            on_progress(UpsertProgress(finished, finished, 0, failures, reused, (batch[0].id,), reconnects=0))


def write_rows(path: Path, number: int, *, bad: frozenset[int] = frozenset()) -> None:
    rows = [{"id": None if line in bad else str(line), "text": f"text {line}"} for line in range(number)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def whole(row: Row) -> list[Record]:
    return [RowMapping().record(row, empty_is_nothing=False)]


def in_three(row: Row) -> list[Record]:
    (record,) = whole(row)
    return [replace(record, id=f"{record.id}#{part}") for part in range(3)]


def run(
    path: Path, store: Store, checkpoint: Checkpoint, refused: Path, records: Callable[[Row], list[Record]] = whole
) -> Position:
    start = checkpoint.load()
    refusals = Refusals(refused, kept_bytes=start.refused_bytes)
    rows = source(str(path), None, ("jsonl",)).rows
    try:
        return Job(rows, records, lambda _: "", store, checkpoint, refusals).run(start, lambda _: None)
    finally:
        refusals.close()


@settings(deadline=None)
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
    store, checkpoint = Store(breaks, batch_size), Checkpoint(folder / "state" / "a.json")
    for _ in range(len(breaks) + 1):
        try:
            position = run(folder / "a.jsonl", store, checkpoint, folder / "refused.jsonl")
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
    store, checkpoint = Store({3}, batch_size=2), Checkpoint(tmp_path / "state.json")
    with pytest.raises(UnavailableError):
        run(tmp_path / "a.jsonl", store, checkpoint, tmp_path / "refused")
    assert checkpoint.load() == Position(rows=4, stored=4, reused=2, truncated=2)
    assert run(tmp_path / "a.jsonl", store, checkpoint, tmp_path / "refused").reused == 5
    assert store.sent == [str(number) for number in range(10)]


@settings(deadline=None)
@given(
    number=st.integers(1, 12),
    batch_size=st.integers(1, 7),
    breaks=st.sets(st.integers(1, 20), max_size=4),
    refused=st.frozensets(st.integers(0, 35), max_size=6),
)
def test_a_row_counts_when_all_its_records_are_settled(
    tmp_path_factory: pytest.TempPathFactory, number: int, batch_size: int, breaks: set[int], refused: frozenset[int]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_rows(folder / "a.jsonl", number)
    wanted = [f"{row}#{part}" for row in range(number) for part in range(3)]
    bad = frozenset(wanted[place] for place in refused if place < len(wanted))
    store, checkpoint = Store(breaks, batch_size, bad), Checkpoint(folder / "a.json")
    for _ in range(len(breaks) + 1):
        try:
            position = run(folder / "a.jsonl", store, checkpoint, folder / "refused.jsonl", in_three)
            break
        except UnavailableError:
            # What is behind the checkpoint is stored or refused, all of it.
            assert set(wanted[: 3 * checkpoint.load().rows]) <= set(store.sent)
    assert list(store.stored) == [each for each in wanted if each not in bad]
    assert (position.rows, position.stored, position.refused) == (number, len(store.stored), len(bad))
    kept = (folder / "refused.jsonl").read_text().splitlines() if bad else []
    assert [json.loads(line)["id"] for line in kept] == [each for each in wanted if each in bad]


def test_namespaces_are_stored_one_after_the_other(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", 9, bad=frozenset({4, 8}))
    calls: list[tuple[str, list[str]]] = []

    def store(records: Iterator[Record], *, namespace: str, on_progress: Callable[[UpsertProgress], None]) -> None:
        calls.append((namespace, [record.id for record in records]))

    refusals = Refusals(tmp_path / "refused.jsonl", kept_bytes=0)
    job = Job(
        source(str(tmp_path / "a.jsonl"), None, ("jsonl",)).rows,
        whole,
        lambda row: str(row.line // 4),
        store,
        None,
        refusals,
    )
    told: list[int] = []
    assert job.run(Position(), lambda position: told.append(position.rows)) == Position(9, 7, 2, refusals.flush())
    refusals.close()
    assert calls == [("0", ["0", "1", "2"]), ("1", ["3", "5", "6"]), ("2", ["7"])]
    assert told == [3, 7, 9]


def test_a_file_that_changed_or_another_collection_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    write_rows(file, 3)
    checkpoint_for(file_identity(file), tmp_path, ["docs"]).save(Position(rows=2))
    assert checkpoint_for(file_identity(file), tmp_path, ["docs"]).load().rows == 2
    assert checkpoint_for(file_identity(file), tmp_path, ["other"]).load().rows == 0
    write_rows(file, 4)
    assert checkpoint_for(file_identity(file), tmp_path, ["docs"]).load().rows == 0


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
