"""Random histories in which every search walks through an index, and starts use snapshots, however few records there are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from vecgate_backends.conformance import Case
from vecgate_backends.conformance.stateful import Histories
from vecgate_backends.contract import Backend
from vecgate_backends.faiss import (
    FaissBackend,
    FaissOptions,
    field_index,
    held_records,
    index_building,
    ordered_column,
    snapshotting,
)
from vecgate_backends.faiss.manifest import SnapshotRow
from vecgate_backends.faiss.segment_index import Effort, HnswGraph, InvertedLists
from vecgate_backends.faiss.snapshot_file import write_snapshot
from vecgate_backends.records import HnswIndex, IndexConfig, IvfIndex, Quantization

INDEXES = [HnswIndex(), HnswIndex(quantization=Quantization.SCALAR8), IvfIndex()]


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Effort]:
    """Let small segments have lists and every walk seem cheap, and tell the walks that were planned."""
    planned: list[Effort] = []
    for kind in (HnswGraph, InvertedLists):
        effort = kind.effort

        def cheap(*arguments: Any, effort: Any = effort) -> Effort:
            planned.append(replace(effort(*arguments), cost=0))
            return planned[-1]

        monkeypatch.setattr(kind, "effort", cheap)
    monkeypatch.setattr(index_building, "VECTORS_A_LIST", 2)
    monkeypatch.setattr(index_building, "LEAST_LISTS", 2)
    return planned


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[SnapshotRow]:
    """Let a snapshot be due after every few writes, starts use it, and few values be in columns; tell the snapshots written."""
    written: list[SnapshotRow] = []

    def noted(*arguments: Any) -> SnapshotRow:
        written.append(write_snapshot(*arguments))
        return written[-1]

    monkeypatch.setattr(snapshotting, "write_snapshot", noted)
    monkeypatch.setattr(held_records, "READ_WHOLE", 0)
    monkeypatch.setattr(field_index, "LEAST_FOLDED", 2)
    monkeypatch.setattr(ordered_column, "LEAST_PREFIXED", 33)
    return written


def build(directory: Path) -> Backend:
    return FaissBackend(FaissOptions(path=directory, seal_threshold=4))


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.kind)
def test_after_any_history_searches_through_an_index_agree_with_the_model(
    index: IndexConfig, walks: list[Effort], snapshots: list[SnapshotRow], tmp_path: Path
) -> None:
    case = Case(f"faiss-{index.kind}", build, index=index, settle=FaissBackend.settle)
    directories = (tmp_path / str(number) for number in range(1_000_000))
    bounds = settings(
        max_examples=20,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            lambda: Histories(case, next(directories), runner),  # type: ignore[arg-type]  # any factory will do
            settings=bounds,
        )
    assert walks
    assert snapshots
