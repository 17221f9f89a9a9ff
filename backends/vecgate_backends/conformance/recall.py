"""Recall: unfiltered and at every selectivity, with random filters and with filters that correlate with the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_backends.conformance.material import store_records
from vecgate_backends.conformance.oracle import Oracle
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByFilter, Collection, SearchOptions
from vecgate_backends.filters import Compare, Eq, Filter, Not, Order
from vecgate_backends.records import IDS_ONLY, Acknowledgement, FloatMatrix, FloatVector, Metadata, Metric

RECORDS = 6_000
DIMENSION = 32
CLUSTERS = 30
QUERIES = 25
TOP_K = 10
LEAST_RECALL = 0.95
SELECTED = [1, TOP_K - 1, TOP_K, 50, RECORDS // 20, RECORDS // 4, RECORDS * 3 // 5, RECORDS - 1]
"""How many records a filter lets through."""
EACH_METRIC = pytest.mark.parametrize("metric", list(Metric))


@dataclass(frozen=True)
class Landscape:
    """Clustered vectors, and queries that all lie in one part of the space.

    Attributes:
        vectors: shape (RECORDS, DIMENSION). queries: shape (QUERIES, DIMENSION).
        orders: metadata field → the place of each record, 0 to RECORDS - 1, shape (RECORDS,): "random", or "away", where
            the records that the queries lie among come last. A bound on it selects that many records.
    """

    vectors: FloatMatrix
    queries: FloatMatrix
    orders: dict[str, NDArray[np.int64]]

    @property
    def ids(self) -> list[str]:
        """An id for each record."""
        return [f"{row:05}" for row in range(RECORDS)]

    @property
    def metadata(self) -> list[Metadata]:
        """The place of each record in both orders."""
        return [{field: int(places[row]) for field, places in self.orders.items()} for row in range(RECORDS)]

    def first(self, field: str, count: int) -> dict[str, FloatVector]:
        """Return the vectors of the first `count` records of an order, by id."""
        ids = self.ids
        return {ids[row]: self.vectors[row] for row in np.flatnonzero(self.orders[field] < count)}


@cache
def landscape() -> Landscape:
    """Build the landscape, the same one each time."""
    generator = np.random.default_rng(11)
    centres = generator.standard_normal((CLUSTERS, DIMENSION))
    noise = 0.6 * generator.standard_normal((RECORDS, DIMENSION))
    vectors = np.ascontiguousarray(centres[generator.integers(0, CLUSTERS, RECORDS)] + noise, dtype=np.float32)
    away = np.argsort(np.argsort(vectors @ centres[0]))
    surroundings = vectors[away >= RECORDS - RECORDS // 5]
    chosen = surroundings[generator.choice(len(surroundings), QUERIES, replace=False)]
    queries = np.ascontiguousarray(chosen + 0.2 * generator.standard_normal(chosen.shape), dtype=np.float32)
    return Landscape(vectors, queries, {"random": generator.permutation(RECORDS), "away": away})


async def loaded(store: Store, metric: Metric) -> Collection:
    """Store the landscape and let background work finish."""
    scene = landscape()
    collection = await store.create(metric=metric, dimension=DIMENSION)
    await store_records(collection, scene.ids, vectors=scene.vectors, metadata=scene.metadata)
    await store.settle()
    return collection


async def check_recall(
    collection: Collection, queries: FloatMatrix, stored: dict[str, FloatVector], node: Filter | None
) -> None:
    """Insist on TOP_K hits where so many match, right scores, and enough of the nearest."""
    oracle = Oracle(collection.spec.metric, stored)
    answers = await collection.search("", queries, SearchOptions(top_k=TOP_K, filter=node, fields=IDS_ONLY))
    for query, hits in zip(queries, answers, strict=True):
        oracle.check(hits, query, top_k=TOP_K, nearest=False)
    assert oracle.recall(answers, queries, top_k=TOP_K) >= LEAST_RECALL


@pytest.mark.asyncio
class TestRecall:
    """The nearest are found."""

    @EACH_METRIC
    async def test_recall_holds_at_every_selectivity_and_exact_search_misses_nothing(
        self, store: Store, metric: Metric
    ) -> None:
        scene = landscape()
        collection = await loaded(store, metric)
        stored = dict(zip(scene.ids, scene.vectors, strict=True))
        await check_recall(collection, scene.queries, stored, None)
        for field in scene.orders:
            for count in SELECTED:
                selected = scene.first(field, count)
                await check_recall(collection, scene.queries, selected, Compare(field, Order.LT, count))
        exact = SearchOptions(top_k=TOP_K, exact=True, fields=IDS_ONLY)
        oracle = Oracle(metric, stored)
        for query, hits in zip(scene.queries, await collection.search("", scene.queries, exact), strict=True):
            oracle.check(hits, query, top_k=TOP_K)
        del stored[scene.ids[int(np.flatnonzero(scene.orders["random"] == 7)[0])]]
        await check_recall(collection, scene.queries, stored, Not(Eq("random", 7)))

    async def test_recall_holds_after_half_of_the_records_were_deleted(self, store: Store) -> None:
        scene = landscape()
        collection = await loaded(store, Metric.COSINE)
        half = RECORDS // 2
        result = await collection.delete(
            "",
            ByFilter(Compare("away", Order.GTE, half)),
            dry_run=False,
            acknowledgement=Acknowledgement.SEARCHABLE,
        )
        assert result.matched == half
        await check_recall(collection, scene.queries, scene.first("away", half), None)
        await store.settle()
        await check_recall(collection, scene.queries, scene.first("away", half), None)
