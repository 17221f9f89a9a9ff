"""Segments that are walked less broadly, as each holds a share of the records, find together what one graph would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.segment_index import NARROWEST_WALK, USUAL_REACH
from vecgate_backends.records import IDS_ONLY, CollectionSpec, FloatMatrix, HnswIndex, Metric, Quantization

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
DIMENSION, ROWS, SEGMENTS = 32, 4_096, 3
TOPICS = 12
QUERIES = 200
MOST_LOST = 0.02
"""Of the recall that the usual breadth has, even where all that a query is to find lies in one of three segments, and the query is unlike it."""


def drawn(random: np.random.Generator, topics: FloatMatrix, spread: float) -> FloatMatrix:
    """Return a vector near each of these topics."""
    return (topics + spread * random.standard_normal(topics.shape)).astype(np.float32)


@pytest.mark.parametrize("quantization", Quantization)
@pytest.mark.parametrize("spread", [0.3, 0.6], ids=["like the records", "unlike them"])
@pytest.mark.parametrize("by_topic", [True, False], ids=["a topic lies in one segment", "topics lie in all"])
async def test_several_small_graphs_find_what_is_nearest(
    open_backend: OpenBackend, put: Put, by_topic: bool, spread: float, quantization: Quantization
) -> None:
    random = np.random.default_rng(7)
    topics = random.standard_normal((TOPICS, DIMENSION)).astype(np.float32)
    numbers = np.arange(ROWS * SEGMENTS) * TOPICS // (ROWS * SEGMENTS)
    records = drawn(random, topics[numbers if by_topic else random.permutation(numbers)], 0.3)
    backend = await open_backend(seal_threshold=ROWS, quiet_seconds=60)
    await backend.create_collection(
        CollectionSpec("notes", DIMENSION, Metric.COSINE, index=HnswIndex(quantization=quantization))
    )
    collection = await backend.collection("notes")
    for begin in range(0, len(records), ROWS):
        rows = range(begin, begin + ROWS)
        await put(collection, [f"r{row:05}" for row in rows], vectors=records[begin : begin + ROWS])
        await collection._sealer.settle()
    queries = drawn(random, topics[random.integers(0, TOPICS, QUERIES)], spread)
    for top_k in (1, 10):
        found = await recall(collection, queries, top_k)
        assert found >= 0.95
        assert found >= await recall(collection, queries, top_k, NARROWEST_WALK) - MOST_LOST


async def recall(collection: FaissCollection, queries: FloatMatrix, top_k: int, ef: int | None = None) -> float:
    options = SearchOptions(top_k=top_k, fields=IDS_ONLY, explain=True, ef=ef)
    found = await collection.search("", queries, options)
    details = found[0].explanation.details
    assert details["walked_segments"] == SEGMENTS
    assert int(details["ef"]) == ef if ef else USUAL_REACH <= int(details["ef"]) < NARROWEST_WALK
    exact = await collection.search("", queries, SearchOptions(top_k=top_k, fields=IDS_ONLY, exact=True))
    return sum(len({*one.ids} & {*other.ids}) for one, other in zip(found, exact, strict=True)) / (top_k * len(queries))
