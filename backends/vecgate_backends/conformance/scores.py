"""Scores: their values against the oracle, their direction, their range, their order."""

from __future__ import annotations

import numpy as np
import pytest

from vecgate_backends.conformance.material import DIMENSION, axis, random_vectors, store_records
from vecgate_backends.conformance.oracle import Oracle, check_order
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import SearchOptions
from vecgate_backends.records import IDS_ONLY, FloatMatrix, Metric

EACH_METRIC = pytest.mark.parametrize("metric", list(Metric))
SCALES = [1e-3, 1.0, 1e3]


def spread(count: int, scale: float, seed: int) -> FloatMatrix:
    """Return vectors of very different lengths around `scale`."""
    lengths = np.random.default_rng(seed).lognormal(0.0, 1.0, (count, 1)).astype(np.float32)
    return np.ascontiguousarray(random_vectors(count, seed=seed) * lengths * np.float32(scale))


@pytest.mark.asyncio
class TestScores:
    """What the numbers are."""

    @EACH_METRIC
    @pytest.mark.parametrize("scale", SCALES)
    @pytest.mark.parametrize("exact", [True, False], ids=["exact", "indexed"])
    async def test_scores_are_those_of_the_definition(
        self, store: Store, metric: Metric, scale: float, exact: bool
    ) -> None:
        collection = await store.create(metric=metric)
        vectors = spread(120, scale, seed=1)
        ids = [f"{n:03}" for n in range(120)]
        await store_records(collection, ids, vectors=vectors)
        await store.settle()
        queries = spread(5, scale, seed=2)
        answers = await collection.search("", queries, SearchOptions(top_k=20, fields=IDS_ONLY, exact=exact))
        for query, hits in zip(queries, answers, strict=True):
            Oracle(metric, dict(zip(ids, vectors, strict=True))).check(hits, query, top_k=20, nearest=exact)

    @EACH_METRIC
    async def test_nearer_scores_higher(self, store: Store, metric: Metric) -> None:
        collection = await store.create(metric=metric)
        vectors = np.concatenate([axis(0), axis(0) + axis(1, 0.5), axis(1), axis(0, -1.0)])
        await store_records(collection, ["same", "near", "far", "opposite"], vectors=vectors)
        (hits,) = await collection.search("", axis(0), SearchOptions())
        assert set(hits.ids[:2]) == {"same", "near"}
        assert list(hits.ids[2:]) == ["far", "opposite"]

    async def test_a_dot_product_prefers_the_longer_vector(self, store: Store) -> None:
        collection = await store.create(metric=Metric.DOT)
        vectors = np.concatenate([axis(0), axis(0, 3.0) + axis(1, 3.0)])
        await store_records(collection, ["aligned", "longer"], vectors=vectors)
        (hits,) = await collection.search("", axis(0), SearchOptions())
        assert list(hits.ids) == ["longer", "aligned"]
        assert hits.scores.tolist() == pytest.approx([3.0, 1.0], abs=1e-4)

    @pytest.mark.parametrize("length", [1e-30, 1e-20, 1.0, 1e20, 1e30])
    async def test_a_cosine_does_not_depend_on_length(self, store: Store, length: float) -> None:
        collection = await store.create(metric=Metric.COSINE)
        vectors = random_vectors(4)
        scaled = np.ascontiguousarray(vectors * np.float32(length))
        await store_records(collection, list("abcd"), vectors=scaled)
        for query in (vectors[1], scaled[1]):
            (hits,) = await collection.search("", query.reshape(1, -1), SearchOptions(top_k=4))
            stored = dict(zip("abcd", vectors, strict=True))
            Oracle(Metric.COSINE, stored).check(hits, vectors[1], top_k=4)
            assert hits.ids[0] == "b"

    async def test_cosines_stay_within_one(self, store: Store) -> None:
        collection = await store.create(metric=Metric.COSINE)
        vectors = random_vectors(64, seed=3)
        await store_records(
            collection, [str(n) for n in range(128)], vectors=np.ascontiguousarray(np.concatenate([vectors, -vectors]))
        )
        await store.settle()
        for hits in await collection.search("", vectors, SearchOptions(top_k=128, fields=IDS_ONLY)):
            assert hits.scores.max() <= 1.0
            assert hits.scores.min() >= -1.0

    async def test_a_vector_far_from_the_origin_is_its_own_nearest(self, store: Store) -> None:
        collection = await store.create(metric=Metric.EUCLIDEAN)
        vectors = random_vectors(50, seed=4) + np.float32(1_000.0)
        ids = [f"{n:02}" for n in range(50)]
        await store_records(collection, ids, vectors=vectors)
        await store.settle()
        answers = await collection.search("", vectors, SearchOptions(top_k=1, exact=True, fields=IDS_ONLY))
        for record_id, vector, hits in zip(ids, vectors, answers, strict=True):
            stored = dict(zip(ids, vectors, strict=True))
            Oracle(Metric.EUCLIDEAN, stored).check(hits, vector, top_k=1)
            assert list(hits.ids) == [record_id]
            assert hits.scores[0] <= 0.0

    @EACH_METRIC
    async def test_equal_scores_come_in_the_order_of_ids(self, store: Store, metric: Metric) -> None:
        collection = await store.create(metric=metric)
        ids = ["k", "b", "é", "B", "z", "10", "9", "a", "日", "aa"]
        await store_records(collection, ids, vectors=np.repeat(axis(0), len(ids), axis=0))
        await store.settle()
        for exact in (True, False):
            (hits,) = await collection.search("", axis(0), SearchOptions(top_k=20, exact=exact))
            assert len(set(hits.scores.tolist())) == 1
            assert list(hits.ids) == sorted(ids)

    async def test_the_answer_to_a_query_does_not_depend_on_the_others(self, store: Store) -> None:
        collection = await store.create()
        vectors = random_vectors(60, seed=5)
        stored = {f"{n:02}": vector for n, vector in enumerate(vectors)}
        await store_records(collection, list(stored), vectors=vectors)
        queries = random_vectors(9, seed=6)
        together = await collection.search("", queries, SearchOptions(top_k=5, exact=True))
        assert len(together) == 9
        for row, hits in enumerate(together):
            (alone,) = await collection.search("", queries[row : row + 1], SearchOptions(top_k=5, exact=True))
            Oracle(Metric.COSINE, stored).check(hits, queries[row], top_k=5)
            assert list(alone.ids) == list(hits.ids)
            assert alone.scores.tolist() == pytest.approx(hits.scores.tolist(), abs=1e-4)

    async def test_a_query_is_not_mutated(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a", "b"])
        queries = random_vectors(2, DIMENSION, seed=7) * np.float32(5.0)
        before = queries.tobytes()
        for hits in await collection.search("", queries, SearchOptions()):
            check_order(hits)
        assert queries.tobytes() == before
