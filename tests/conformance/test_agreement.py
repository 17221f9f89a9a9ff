"""TestAgreement itself: its filters are worth asking, it reads records from a file, and it tells wrong answers from ties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vecgate_backends.answers import Hits
from vecgate_backends.conformance import Case
from vecgate_backends.conformance.agreement import TOP_K, Answers, compare, fill
from vecgate_backends.conformance.agreement_data import (
    CATEGORY,
    PLACE,
    AgreementData,
    clustered_agreement_data,
    read_agreement_data,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import SearchOptions
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import CollectionSpec, FloatMatrix


class TheLastHitIsTheNextOne(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, replace(options, top_k=TOP_K + 1))
        return [
            replace(
                hits,
                ids=[*hits.ids[: TOP_K - 1], *hits.ids[TOP_K - 1 :][-1:]],
                scores=np.concatenate([hits.scores[: TOP_K - 1], hits.scores[TOP_K - 1 :][-1:]]),
            )
            for hits in answers
        ]


class ScoresAreABitOff(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        answers = await super().search(namespace, queries, options)
        return [replace(hits, scores=hits.scores - np.float32(3e-4)) for hits in answers]


class TheFilterIsForgotten(MemoryCollection):
    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        return await super().search(namespace, queries, replace(options, filter=None))


async def answers_of(kind: type[MemoryCollection], data: AgreementData, directory: Path) -> Answers:
    store = Store(Case("memory", lambda _: MemoryBackend(MemoryOptions()), reopenable=False), directory)
    collection = kind(CollectionSpec("things", data.vectors.shape[1]))
    await fill(store, collection, data)
    return await compare(collection, data, exact=True)


def file_of(path: Path, scores: Sequence[float]) -> Path:
    """Write records of one category whose cosines with each of five queries are given."""
    cosines = np.array(scores)
    np.savez(
        path,
        ids=np.array([f"r{row}" for row in range(len(cosines))]),
        texts=np.array(["é 日本"] * len(cosines)),
        metadata=np.array([json.dumps({CATEGORY: "one", "words": ["a", "b"], "n": 3})] * len(cosines)),
        vectors=np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1),
        queries=np.tile([1.0, 0.0], (5, 1)),
    )
    return path


def test_filters_let_through_from_one_record_to_all_and_some_nothing_of_the_query_s_surroundings() -> None:
    data = clustered_agreement_data()
    counts = data.selected.sum(axis=1)
    assert counts.min() <= 1
    assert counts.max() >= 0.9 * len(data.ids)
    assert len(set(counts.tolist())) > len(counts) / 2
    nearest = data.scores.argmax(axis=1)
    kept = data.selected[np.arange(len(nearest)), nearest]
    assert 0.2 < kept.mean() < 0.8


def test_records_are_read_from_a_file(tmp_path: Path) -> None:
    data = read_agreement_data(file_of(tmp_path / "records.npz", [0.1, 0.5, 0.3]))
    assert (list(data.ids), data.texts[0], data.vectors.dtype.name) == (["r0", "r1", "r2"], "é 日本", "float32")
    assert data.metadata[1] == {CATEGORY: "one", "words": ("a", "b"), "n": 3, PLACE: data.metadata[1][PLACE]}
    assert sorted(row[PLACE] for row in data.metadata) == [0, 1, 2]
    np.testing.assert_allclose(data.scores[0], [0.1, 0.5, 0.3], atol=1e-6)


async def test_right_answers_are_the_same_ids(tmp_path: Path) -> None:
    data = clustered_agreement_data()
    found = await answers_of(MemoryCollection, data, tmp_path)
    assert (found.same, found.tied, found.recall) == (len(data.queries), 0, 1.0)


async def test_a_nearest_record_that_is_missed_costs_recall(tmp_path: Path) -> None:
    data = clustered_agreement_data()
    found = await answers_of(TheLastHitIsTheNextOne, data, tmp_path)
    assert found.same + found.tied < len(data.queries)
    assert 0.9 <= found.recall < 0.95


async def test_a_record_within_the_tolerance_of_the_last_is_a_tie(tmp_path: Path) -> None:
    data = read_agreement_data(file_of(tmp_path / "records.npz", [0.5 + 2e-5 * n for n in range(15)]))
    found = await answers_of(TheLastHitIsTheNextOne, data, tmp_path)
    # One filter lets one record through, one none at all; the others more than are asked for.
    assert (found.same, found.tied) == (2, 3)


@pytest.mark.parametrize("kind", [ScoresAreABitOff, TheFilterIsForgotten])
async def test_wrong_scores_and_records_that_do_not_match_fail(kind: type[MemoryCollection], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await answers_of(kind, clustered_agreement_data(), tmp_path)
