"""Rows that pass a filter lie all over a block: fetching them is most of the work, and searches that want the same ones do it together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import Hits, WriteResult
from vecgate_backends.contract import ByIds, MetadataChanges, SearchOptions
from vecgate_backends.faiss import FaissBackend, searcher
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.company import ASKED_ALONE, LONELY_RUNS
from vecgate_backends.faiss.search import Plan, Ranking, run_plan
from vecgate_backends.filters import Compare, Eq, Order
from vecgate_backends.records import IDS_ONLY, Acknowledgement, CollectionSpec, Fields, FloatMatrix

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]

ROWS, DIMENSION = 600, 8
VECTORS = np.random.default_rng(1).standard_normal((ROWS, DIMENSION)).astype(np.float32)
QUERIES = np.random.default_rng(2).standard_normal((40, DIMENSION)).astype(np.float32)
FEW = SearchOptions(filter=Compare("n", Order.LT, ROWS // 10), fields=IDS_ONLY)
RED = Eq("colour", "red")
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


async def filled(open_backend: OpenBackend, put: Put) -> FaissCollection:
    backend = await open_backend(search_threads=1)
    await backend.create_collection(CollectionSpec("notes", DIMENSION))
    collection = await backend.collection("notes")
    metadata = [{"n": row, "colour": "red" if row % 10 == 0 else "blue"} for row in range(ROWS)]
    await put(collection, [str(row) for row in range(ROWS)], VECTORS, metadata)
    return collection


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    noted = Runs()
    monkeypatch.setattr(searcher, "SHARED_WORK", ROWS // 10 * DIMENSION - 1)
    monkeypatch.setattr(searcher, "run_plan", noted)
    return noted


def told(found: list[Hits]) -> list[tuple[list[str], list[float]]]:
    return [(list(hits.ids), hits.scores.tolist()) for hits in found]


async def six_of_whom_five_come_later(collection: FaissCollection, runs: Runs) -> list[Hits]:
    """Ask for the first queries, all but one of them while the first is run, one in a step of the loop."""
    asked = [asyncio.create_task(collection.search("", QUERIES[:1], FEW))]
    await asyncio.to_thread(runs.begun.wait, 30)
    for query in QUERIES[1:6]:
        asked.append(asyncio.create_task(collection.search("", query[np.newaxis], FEW)))
        await asyncio.sleep(0.001)
    runs.go.set()
    return [hits for found in await asyncio.gather(*asked) for hits in found]


async def test_those_who_ask_while_rows_are_fetched_are_answered_together(
    open_backend: OpenBackend, put: Put, runs: Runs
) -> None:
    collection = await filled(open_backend, put)
    together = await six_of_whom_five_come_later(collection, runs)
    assert runs.sizes == [1, 5]
    assert {thread.split("_")[0] for thread in runs.threads} == {"vecgate-compare"}
    one_by_one = [hits for query in QUERIES[:6] for hits in await collection.search("", query[np.newaxis], FEW)]
    assert told(together) == told(one_by_one)


async def test_who_asks_alone_is_left_to_the_loop_and_tried_again(
    open_backend: OpenBackend, put: Put, runs: Runs
) -> None:
    collection = await filled(open_backend, put)
    runs.go.set()
    for query in QUERIES[: LONELY_RUNS + ASKED_ALONE + 1]:
        await collection.search("", query[np.newaxis], FEW)
    here = threading.current_thread().name
    aside = [thread != here for thread in runs.threads]
    assert aside == [True] * LONELY_RUNS + [False] * ASKED_ALONE + [True]


async def test_those_who_come_during_a_trial_join_it(open_backend: OpenBackend, put: Put, runs: Runs) -> None:
    collection = await filled(open_backend, put)
    runs.go.set()
    for query in QUERIES[: LONELY_RUNS + ASKED_ALONE]:
        await collection.search("", query[np.newaxis], FEW)
    runs.sizes.clear()
    runs.begun.clear()
    runs.go.clear()
    await six_of_whom_five_come_later(collection, runs)
    await collection.search("", QUERIES[:1], FEW)
    assert runs.sizes == [1, 5, 1]
    assert {thread.split("_")[0] for thread in runs.threads[-3:]} == {"vecgate-compare"}


async def test_what_was_read_before_an_update_and_what_after_it_do_not_go_together(
    open_backend: OpenBackend, put: Put
) -> None:
    collection = await filled(open_backend, put)
    partition, still_pass = collection._partition(""), collection._searcher._still_pass
    passing = partition.metadata.matching(RED).tolist()
    failing = partition.metadata.matching(Eq("colour", "blue")).tolist()
    partition.metadata_updates = 5
    for found, updates, passes in (
        (passing, (4, 5), True),
        (passing, (3, 4), False),
        (failing[:1], (5, 5), True),
        (failing[:1], (4, 5), False),
        (passing + failing[-1:], (4, 5), False),
        ([], (4, 5), True),
    ):
        assert still_pass(RED, partition, found, updates) is passes
    assert still_pass(None, partition, failing, (3, 4))
    assert not still_pass(Eq("colour", "green"), partition, passing, (4, 5))


@pytest.mark.parametrize(
    ("options", "shared_work"),
    [(FEW, ROWS // 10 * DIMENSION), (MOST, 1), (SearchOptions(fields=IDS_ONLY), 1)],
    ids=["few rows pass", "most rows pass", "no filter"],
)
async def test_others_run_on_the_loop(
    options: SearchOptions,
    shared_work: int,
    open_backend: OpenBackend,
    put: Put,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searcher, "SHARED_WORK", shared_work)
    collection = await filled(open_backend, put)
    runs.go.set()
    await collection.search("", QUERIES[:1], options)
    assert runs.threads == [threading.current_thread().name]


async def test_no_long_search_keeps_them_waiting(
    open_backend: OpenBackend, put: Put, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = await filled(open_backend, put)
    monkeypatch.setattr(searcher, "INLINE_WORK", ROWS // 10 * DIMENSION)
    long = asyncio.create_task(collection.search("", QUERIES[:2], SearchOptions(exact=True)))
    await asyncio.to_thread(runs.begun.wait, 30)
    monkeypatch.setattr(searcher, "run_plan", run_plan)
    assert await collection.search("", QUERIES[:1], FEW)
    assert not long.done()
    runs.go.set()
    await long


@pytest.mark.parametrize(("colour", "count"), [("red", 1), ("blue", 2)], ids=["still passes", "passes no more"])
async def test_a_run_is_repeated_only_if_what_it_found_passes_no_more(
    colour: str, count: int, open_backend: OpenBackend, put: Put, runs: Runs
) -> None:
    collection = await filled(open_backend, put)
    options = SearchOptions(filter=RED, fields=Fields(metadata=True))
    asked = asyncio.create_task(collection.search("", VECTORS[:1], options))
    await asyncio.to_thread(runs.begun.wait, 30)
    changes = MetadataChanges({"colour": colour, "seen": True}, frozenset())
    await collection.update_metadata("", ByIds(("0",)), changes, acknowledgement=Acknowledgement.SEARCHABLE)
    runs.go.set()
    (hits,) = await asked
    assert len(runs.sizes) == count
    assert hits.records is not None
    assert all(record.metadata["colour"] == "red" for record in hits.records)
    assert ("0" in hits.ids) == (colour == "red")
