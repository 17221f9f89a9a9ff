"""Upserts of one group that are run as one come to what they would one after the other."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate_backends.faiss.changes import RecordsAdded
from vecgate_backends.faiss.operations import (
    JOINED_RECORDS,
    DeleteRecords,
    Operation,
    Outcome,
    Targets,
    UpsertRecords,
    run_all,
)
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.transaction import Transaction
from vecgate_backends.faiss.truth import TruthReader, create_truth, open_truth
from vecgate_backends.records import Fields, Metric, RecordBatch, WriteMode

IDS = [f"r{number}" for number in range(6)]
EVERYTHING = Fields(vector=True, encoding_stamp=True)


@st.composite
def upserts(draw: st.DrawFn) -> UpsertRecords:
    ids = draw(st.lists(st.sampled_from(IDS), max_size=4))
    marks = [draw(st.integers(1, 1000)) for _ in ids]
    return UpsertRecords(
        draw(st.sampled_from(["", "other"])),
        RecordBatch(
            ids,
            np.array([[mark, 1.0] for mark in marks], np.float32).reshape(len(ids), 2),
            [None if mark % 3 else f"text {mark}" for mark in marks],
            [{"mark": mark} for mark in marks],
            [f"stamp {mark}".encode() for mark in marks] if draw(st.booleans()) else (),
        ),
        draw(st.sampled_from(WriteMode)),
        Metric.COSINE,
    )


deletes = st.builds(DeleteRecords, st.just(""), st.builds(Targets, st.lists(st.sampled_from(IDS), max_size=2)))


@settings(max_examples=60, deadline=None)
@given(st.lists(upserts(), max_size=4), st.lists(st.one_of(upserts(), upserts(), deletes), max_size=8))
def test_a_group_comes_to_what_its_operations_do_one_by_one(
    before: list[Operation[Any]], group: list[Operation[Any]]
) -> None:
    def one_by_one(operations: Sequence[Operation[Any]], transaction: Transaction) -> list[Outcome[Any]]:
        return [operation.run(transaction) for operation in operations]

    joined, apart = after(run_all, before, group), after(one_by_one, before, group)
    assert joined == apart
    assert joined[2] == []


@pytest.mark.parametrize("count", [1, 3])
def test_what_memory_is_told_of_upserts_of_few_records_is_one_change(count: int) -> None:
    ids = [f"r{number}" for number in range(count)]
    few = [UpsertRecords("", batch([record_id]), WriteMode.UPSERT, Metric.DOT) for record_id in ids]
    large = UpsertRecords("", batch(["large"] * (JOINED_RECORDS + 1)), WriteMode.UPSERT, Metric.DOT)
    with TemporaryDirectory() as directory, closing(empty(Path(directory))) as truth:
        outcomes = run_all([*few, large], Transaction(truth))
    changes = [change for outcome in outcomes for change in outcome.changes]
    assert [change.ids for change in changes if isinstance(change, RecordsAdded)] == [ids, ["large"]]


def batch(ids: list[str]) -> RecordBatch:
    return RecordBatch(ids, np.ones((len(ids), 2), np.float32), [None] * len(ids), [{}] * len(ids))


def empty(directory: Path) -> sqlite3.Connection:
    create_truth(directory / "records.db", "uid")
    return open_truth(directory / "records.db", "uid")


def after(
    run: Any, before: list[Operation[Any]], group: list[Operation[Any]]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what the group answered, what is stored then, and the versions in which memory, told of the changes, differs from that: none."""
    with TemporaryDirectory() as directory, closing(empty(Path(directory))) as truth:
        truth.execute("BEGIN")
        for operation in before:
            operation.run(Transaction(truth))
        memory = versions(truth)
        outcomes = run(group, Transaction(truth))
        truth.execute("COMMIT")
        follow(memory, [change for outcome in outcomes for change in outcome.changes])
        reader = TruthReader(Path(directory) / "records.db", "uid")
        records = [reader.page(namespace, None, 100, EVERYTHING) for namespace in ("", "other")]
        reader.close()
        shown = [
            (r.id, r.text, r.metadata, r.encoding_stamp, None if r.vector is None else r.vector.tolist())
            for page in records
            for r in page
        ]
        answered = [
            [type(error) for error in outcome.value] if isinstance(outcome.value, list) else outcome.value
            for outcome in outcomes
        ]
        return answered, shown, sorted(memory.items() ^ versions(truth).items())


def versions(truth: sqlite3.Connection) -> dict[int, tuple[str, Any, tuple[float, ...]]]:
    """Return of each stored version its id, its mark and its vector in index form."""
    rows = truth.execute("SELECT internal_id, id, metadata, vector FROM records JOIN vectors USING (internal_id)")
    return {internal_id: (own, json.loads(fields)["mark"], unit(vector)) for internal_id, own, fields, vector in rows}


def unit(vector: bytes) -> tuple[float, ...]:
    return tuple(index_form(Metric.COSINE, np.frombuffer(vector, np.float32)[np.newaxis])[0].tolist())


def follow(memory: dict[int, tuple[str, Any, tuple[float, ...]]], changes: Sequence[Any]) -> None:
    for change in changes:
        if isinstance(change, RecordsAdded):
            columns = (change.internal_ids.tolist(), change.ids, change.metadata, change.vectors.tolist())
            for internal_id, record_id, fields, vector in zip(*columns, strict=True):
                memory[internal_id] = (record_id, fields["mark"], tuple(vector))
        else:
            for internal_id, fields in zip(change.internal_ids, change.metadata, strict=True):
                _, mark, _ = memory.pop(internal_id)
                assert fields == {"mark": mark}
