"""Rows that pass a filter lie all over a block: fetching them is most of the work, and searches that want the same ones do it together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import Hits, WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss import FaissBackend, searcher
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.search import Plan, Ranking, run_plan
from vecgate_backends.filters import Compare, Order
from vecgate_backends.records import IDS_ONLY, CollectionSpec, FloatMatrix

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]

ROWS = 600
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 8)).astype(np.float32)
QUERIES = np.random.default_rng(2).standard_normal((40, 8)).astype(np.float32)
FEW = SearchOptions(filter=Compare("n", Order.LT, ROWS // 10), fields=IDS_ONLY)
MOST = SearchOptions(filter=Compare("n", Order.GTE, ROWS // 10), fields=IDS_ONLY)


class Runs:
    """Notes each run, the thread it has and the number of its queries; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.sizes: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, plan: Plan, queries: FloatMatrix) -> list[Ranking]:
        self.threads.append(threading.current_thread().name)
        self.sizes.append(len(queries))
        self.begun.set()
        assert self.go.wait(30)
        return run_plan(plan, queries)


async def filled(open_backend: OpenBackend, put: Put, search_threads: int) -> FaissCollection:
    backend = await open_backend(search_threads=search_threads)
    await backend.create_collection(CollectionSpec("notes", 8))
    collection = await backend.collection("notes")
    await put(collection, [str(row) for row in range(ROWS)], VECTORS, [{"n": row} for row in range(ROWS)])
    return collection


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    noted = Runs()
    monkeypatch.setattr(searcher, "SHARED_WORK", 1)
    monkeypatch.setattr(searcher, "run_plan", noted)
    return noted


def told(found: list[Hits]) -> list[tuple[list[str], list[float]]]:
    return [(list(hits.ids), hits.scores.tolist()) for hits in found]


async def test_those_who_ask_while_rows_are_fetched_are_answered_together(
    open_backend: OpenBackend, put: Put, runs: Runs
) -> None:
    collection = await filled(open_backend, put, search_threads=1)
    runs.go.set()
    one_by_one = [hits for query in QUERIES[:6] for hits in await collection.search("", query[np.newaxis], FEW)]
    assert runs.sizes == [1] * 6
    assert all(thread.startswith("vecgate-search") for thread in runs.threads)

    runs.sizes.clear()
    runs.begun.clear()
    runs.go.clear()
    asked = [asyncio.create_task(collection.search("", QUERIES[:1], FEW))]
    await asyncio.to_thread(runs.begun.wait, 30)
    for query in QUERIES[1:6]:
        asked.append(asyncio.create_task(collection.search("", query[np.newaxis], FEW)))
        await asyncio.sleep(0.001)
    runs.go.set()
    together = [hits for found in await asyncio.gather(*asked) for hits in found]
    assert runs.sizes == [1, 5]
    assert told(together) == told(one_by_one)


async def test_where_most_rows_are_wanted_a_search_goes_through_them_on_the_loop(
    open_backend: OpenBackend, put: Put, runs: Runs
) -> None:
    collection = await filled(open_backend, put, search_threads=1)
    runs.go.set()
    await collection.search("", QUERIES[:1], MOST)
    assert runs.threads == [threading.current_thread().name]


@pytest.mark.parametrize(("count", "sizes"), [(20, [20]), (2 * searcher.SHARED_QUERIES, [16, 16])])
async def test_few_queries_are_not_divided_among_threads_that_fetch_the_same_rows(
    count: int, sizes: list[int], open_backend: OpenBackend, put: Put, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "INLINE_WORK", 1)
    collection = await filled(open_backend, put, search_threads=2)
    runs.go.set()
    await collection.search("", QUERIES[:count], FEW)
    assert runs.sizes == sizes
