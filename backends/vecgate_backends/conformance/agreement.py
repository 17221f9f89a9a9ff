"""Agreement: filtered queries, random and in the way of the vectors, are answered alike by every backend.

A run may bring real records: see plugin.py. Without, they are a thousand clustered ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from vecgate_backends.answers import Hits
from vecgate_backends.conformance.agreement_data import (
    AgreementData,
    clustered_agreement_data,
    read_agreement_data,
)
from vecgate_backends.conformance.material import batch_of, upsert
from vecgate_backends.conformance.oracle import check_order
from vecgate_backends.conformance.recall import LEAST_RECALL
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import Collection, SearchOptions
from vecgate_backends.records import IDS_ONLY, Metric

AGREEMENT = "agreement"
"""Name of the property of a test that holds its figures."""
TOP_K = 10
BATCH = 500
TOLERANCE = 1e-4
"""By how much a cosine may be off: the contract's invariant 1."""
ROUNDING = 1e-6
"""Scores this near to the last of the nearest are equal to it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How the answers to all queries compare with the exact ones.

    Attributes:
        same: queries that were answered with exactly the nearest ids.
        tied: queries whose answer differs from that by records within the tolerance of the last alone.
        recall: share of the nearest that was found, 0 to 1.
        seconds: how long all queries took, one after another.
    """

    same: int
    tied: int
    recall: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is told of one backend; `exact` is None where it has no exact search."""

    records: int
    queries: int
    indexing_seconds: float
    exact: Answers | None
    indexed: Answers


def _row_numbers(data: AgreementData) -> dict[str, int]:
    return {record_id: row for row, record_id in enumerate(data.ids)}


def check_answer(data: AgreementData, number: int, found: list[int], hits: Hits) -> None:
    """Insist on what is asked of any answer: as many as match, all of them matching, right scores, in order."""
    assert len(found) == len(set(found)) == min(TOP_K, int(data.selected[number].sum())), data.filters[number]
    assert data.selected[number][found].all(), data.filters[number]
    assert np.all(np.abs(hits.scores - data.scores[number][found]) <= TOLERANCE + ROUNDING)
    check_order(hits)


async def compare(collection: Collection, data: AgreementData, *, exact: bool) -> Answers:
    """Ask every query, and compare."""
    rows = _row_numbers(data)
    same = tied = right = wanted = 0
    seconds = 0.0
    for number, (query, node) in enumerate(zip(data.queries, data.filters, strict=True)):
        options = SearchOptions(top_k=TOP_K, filter=node, fields=IDS_ONLY, exact=exact)
        start = perf_counter()
        (hits,) = await collection.search("", query[np.newaxis], options)
        seconds += perf_counter() - start
        found = [rows[record_id] for record_id in hits.ids]
        check_answer(data, number, found, hits)
        if not found:
            same += 1
            continue
        scores = np.where(data.selected[number], data.scores[number], -np.inf)
        last = np.partition(scores, -len(found))[-len(found)]
        right += int((scores[found] >= last - ROUNDING).sum())
        wanted += len(found)
        same += bool((scores[found] >= last - ROUNDING).all())
        tied += bool(last - ROUNDING > scores[found].min() >= last - 2 * TOLERANCE)
    return Answers(same, tied, right / max(1, wanted), seconds)


@pytest.mark.asyncio
class TestAgreement:
    """The same questions, the same answers."""

    async def test_filtered_queries_find_what_the_oracle_finds(
        self, store: Store, request: pytest.FixtureRequest
    ) -> None:
        file: Path | None = request.config.getoption("conformance_records", None)
        least: float = request.config.getoption("conformance_recall", LEAST_RECALL)
        data = clustered_agreement_data() if file is None else read_agreement_data(file)
        collection = await store.create(metric=Metric.COSINE, dimension=data.vectors.shape[1])
        seconds = await fill(store, collection, data)
        indexed = await compare(collection, data, exact=False)
        exact = await compare(collection, data, exact=True) if store.backend.capabilities.exact_search else None
        figures = Agreement(len(data.ids), len(data.queries), seconds, exact, indexed)
        request.node.user_properties.append((AGREEMENT, asdict(figures)))
        assert indexed.recall >= least
        assert exact is None or exact.same + exact.tied == len(data.queries)


async def fill(store: Store, collection: Collection, data: AgreementData) -> float:
    """Write the records and let background work finish; return the seconds it took."""
    start = perf_counter()
    for first in range(0, len(data.ids), BATCH):
        batch = batch_of(
            data.ids[first : first + BATCH],
            vectors=data.vectors[first : first + BATCH],
            texts=data.texts[first : first + BATCH],
            metadata=data.metadata[first : first + BATCH],
        )
        result = await upsert(collection, batch)
        assert list(result.errors) == [None] * len(batch.ids)
    await store.settle()
    return perf_counter() - start
