"""Search over head and segments against exact search, with filters of every selectivity, also such as follow the vectors."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vecgate_backends.answers import Hits, WriteResult
from vecgate_backends.contract import ByIds, SearchOptions
from vecgate_backends.faiss import FaissBackend, search, searcher
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.build_steps import BuildSteps
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.index_building import build_index
from vecgate_backends.faiss.scoring import index_form, squared_norms
from vecgate_backends.faiss.search import Plan, Ranking, Step, make_plan, run_plan
from vecgate_backends.faiss.segment_index import Breadth, Breadths, Effort
from vecgate_backends.faiss.turns import Turns, Work
from vecgate_backends.filters import And, Compare, Eq, Filter, Not, Order
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    FloatMatrix,
    HnswIndex,
    IvfIndex,
    Metadata,
    Metric,
    Quantization,
    RecordBatch,
    WriteMode,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]

ROWS = 12_000
CENTRES = 20
DIMENSION = 32
TOLERANCE: Mapping[Metric, float] = {Metric.COSINE: 1e-4, Metric.DOT: 1e-3, Metric.EUCLIDEAN: 1e-3}


def clustered(count: int, seed: int) -> tuple[FloatMatrix, list[int]]:
    """Vectors around some centres, and the centre of each: a category that is a region of the space."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIMENSION))
    rng = np.random.default_rng(seed)
    category = rng.integers(0, CENTRES, count)
    vectors = centres[category] + 0.5 * rng.standard_normal((count, DIMENSION))
    return vectors.astype(np.float32), category.tolist()


VECTORS, CATEGORY = clustered(ROWS, 1)
QUERIES, _ = clustered(60, 2)
METADATA: Sequence[Metadata] = [
    {"n": n, "category": category, "half": n % 2 == 0} for n, category in enumerate(CATEGORY)
]
FILTERS: Mapping[str, Filter | None] = {
    "none": None,
    "one record": Eq("n", 77),
    "1 % at random": Compare("n", Order.LT, ROWS // 100),
    "half at random": Eq("half", True),
    "all but a few": Compare("n", Order.GTE, 50),
    "one category": Eq("category", 3),
    "half of the categories": Compare("category", Order.LT, CENTRES // 2),
    "all but one category": Not(Eq("category", 3)),
    "half of the categories, half at random": And((Compare("category", Order.GTE, CENTRES // 2), Eq("half", False))),
}


def recall(found: Sequence[Hits | Ranking], exact: Sequence[Hits | Ranking]) -> float:
    shares = [len(set(some.ids) & set(all_.ids)) / len(all_.ids) for some, all_ in zip(found, exact, strict=True)]
    return float(np.mean(shares))


GRAPH, QUANTIZED, LISTS = HnswIndex(), HnswIndex(quantization=Quantization.SCALAR8), IvfIndex()
INDEXES = (GRAPH, QUANTIZED, LISTS)


@pytest.fixture(params=product(Metric, INDEXES), ids=lambda param: f"{param[0]}-{param[1].kind}")
async def sealed(request: pytest.FixtureRequest, open_backend: OpenBackend, put: Put) -> FaissCollection:
    """A collection with a segment of each kind, tombstones in it, and a head."""
    backend = await open_backend(seal_threshold=10_000)
    metric, index = request.param
    await backend.create_collection(CollectionSpec("notes", DIMENSION, metric, index=index))
    collection = await backend.collection("notes")
    ids = [f"r{number:05}" for number in range(ROWS)]
    for begin, end in ((0, 10_000), (10_000, ROWS)):
        await put(collection, ids[begin:end], VECTORS[begin:end], METADATA[begin:end])
        await backend.settle()
    dead = tuple(ids[100:1500])
    await collection.delete("", ByIds(dead), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
    return collection


async def test_every_filter_keeps_recall_and_fills_the_answer(sealed: FaissCollection) -> None:
    for name, node in FILTERS.items():
        exact = await sealed.search("", QUERIES, SearchOptions(filter=node, exact=True, fields=IDS_ONLY))
        found = await sealed.search("", QUERIES, SearchOptions(filter=node, fields=IDS_ONLY))
        assert recall(found, exact) >= 0.95, name
        assert [len(hits.ids) for hits in found] == [len(hits.ids) for hits in exact], name


async def test_scores_and_order_are_those_of_the_memory_backend(sealed: FaissCollection) -> None:
    memory = MemoryBackend(MemoryOptions())
    await memory.create_collection(replace(sealed.spec, index=None))
    oracle = await memory.collection("notes")
    live = [number for number in range(ROWS) if not 100 <= number < 1500]
    ids = [f"r{number:05}" for number in live]
    batch = RecordBatch(ids, VECTORS[live], [None] * len(live), [METADATA[number] for number in live])
    await oracle.upsert("", batch, mode=WriteMode.UPSERT, acknowledgement=Acknowledgement.SEARCHABLE)
    for node in (None, FILTERS["one category"], FILTERS["half at random"]):
        options = SearchOptions(top_k=20, filter=node, exact=True, fields=IDS_ONLY)
        for found, expected in zip(
            await sealed.search("", QUERIES[:10], options), await oracle.search("", QUERIES[:10], options), strict=True
        ):
            assert list(found.ids) == list(expected.ids)
            np.testing.assert_allclose(found.scores, expected.scores, atol=TOLERANCE[sealed.spec.metric])


async def test_the_plan_tells_what_was_done(sealed: FaissCollection) -> None:
    (walked,) = await sealed.search("", QUERIES[:1], SearchOptions(ef=100, nprobe=20))
    name = {"hnsw": "HNSW walk", "hnsw-scalar8": "8-bit HNSW walk", "ivf": "IVF probe"}[kind_of(sealed)]
    assert walked.explanation.plan.startswith(f"{name} over 10000 records, segments: 1; exact over 2000 records")
    assert walked.explanation.details["namespace_records"] == ROWS - 1400
    # Broader than asked by the dead rows that the walk will meet.
    share = 10_000 / (10_000 - 1400)
    ef, nprobe = (0, np.ceil(20 * np.sqrt(share))) if kind_of(sealed) == "ivf" else (np.ceil(100 * share), 0)
    assert (walked.explanation.details["ef"], walked.explanation.details["nprobe"]) == (ef, nprobe)
    (exact,) = await sealed.search("", QUERIES[:1], SearchOptions(exact=True))
    assert exact.explanation.plan == f"exact over {ROWS - 1400} records"
    (filtered,) = await sealed.search("", QUERIES[:1], SearchOptions(filter=FILTERS["one record"]))
    assert filtered.explanation.plan == "exact over 1 records"


async def test_a_search_off_the_loop_answers_the_same(sealed: FaissCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    here = await sealed.search("", QUERIES[:5], SearchOptions())
    monkeypatch.setattr(searcher, "INLINE_WORK", 1)
    there = await sealed.search("", QUERIES[:5], SearchOptions())
    assert [list(hits.ids) for hits in there] == [list(hits.ids) for hits in here]


def kind_of(collection: FaissCollection) -> str:
    assert collection.spec.index is not None
    return collection.spec.index.kind


def block_of(vectors: FloatMatrix, metric: Metric, settings: HnswIndex | IvfIndex | None) -> Block:
    form = index_form(metric, vectors)
    count = len(form)
    index = (
        None
        if settings is None
        else build_index(form, metric, settings, BuildSteps(lambda: False, Turns(), Work.MERGE))
    )
    ids = [f"r{number:05}" for number in range(count)]
    live = np.ones(count, np.bool_)
    return Block(np.arange(1, count + 1), ids, form, squared_norms(form), live, 0, index)


def breadth_of(block: Block) -> int:
    assert block.index is not None
    return block.index.breadth


EACH_INDEX = pytest.mark.parametrize("settings", INDEXES, ids=lambda settings: settings.kind)


@EACH_INDEX
def test_a_walk_that_meets_no_match_becomes_exact(settings: HnswIndex | IvfIndex) -> None:
    block = block_of(VECTORS, Metric.EUCLIDEAN, settings)
    matching = np.flatnonzero(np.array(CATEGORY) < CENTRES // 2) + 1
    plan = make_plan([block], matching, Metric.EUCLIDEAN, 10, Breadths())
    assert plan.steps[0].effort is not None
    elsewhere = VECTORS[np.array(CATEGORY) == CENTRES - 1][:5]
    rankings = run_plan(plan, elsewhere)
    assert all(ranking.starved == 1 for ranking in rankings)
    exact = run_plan(make_plan([block], matching, Metric.EUCLIDEAN, 10, None), elsewhere)
    assert [ranking.ids for ranking in rankings] == [ranking.ids for ranking in exact]


@EACH_INDEX
def test_few_matches_are_compared_and_many_are_walked_to(settings: HnswIndex | IvfIndex) -> None:
    block = block_of(VECTORS, Metric.COSINE, settings)
    few, many = np.arange(1, 50), np.arange(1, ROWS)
    assert make_plan([block], few, Metric.COSINE, 10, Breadths()).steps[0].effort is None
    assert make_plan([block], many, Metric.COSINE, 10, Breadths()).steps[0].effort is not None


@pytest.mark.parametrize("settings", [GRAPH, QUANTIZED], ids=lambda settings: settings.kind)
def test_the_breadth_of_walks_follows_the_data(settings: HnswIndex) -> None:
    structured = block_of(VECTORS, Metric.COSINE, settings)
    shapeless = np.random.default_rng(5).standard_normal((ROWS + 100, 64)).astype(np.float32)
    hard = block_of(shapeless[:ROWS], Metric.COSINE, settings)
    assert breadth_of(structured) < breadth_of(hard)
    queries = index_form(Metric.COSINE, shapeless[ROWS:])
    exact = run_plan(make_plan([hard], None, Metric.COSINE, 10, None), queries)
    walked = run_plan(make_plan([hard], None, Metric.COSINE, 10, Breadths()), queries)
    narrow = run_plan(make_plan([hard], None, Metric.COSINE, 10, Breadths(ef=Breadth(64, asked=True))), queries)
    assert recall(walked, exact) >= 0.95 > recall(narrow, exact)


@EACH_INDEX
def test_an_index_that_cannot_be_walked_well_is_not_walked_beside_dead_rows_either(
    settings: HnswIndex | IvfIndex,
) -> None:
    rng = np.random.default_rng(4)
    vectors = (rng.standard_normal((4000, 256)) * rng.lognormal(0, 0.7, (4000, 1))).astype(np.float32)
    block = block_of(vectors, Metric.EUCLIDEAN, settings).without(np.array([17]))
    queries = rng.standard_normal((60, 256)).astype(np.float32)
    exact = run_plan(make_plan([block], None, Metric.EUCLIDEAN, 10, None), queries)
    found = run_plan(make_plan([block], None, Metric.EUCLIDEAN, 10, Breadths()), queries)
    assert recall(found, exact) >= 0.95


def test_equal_vectors_tie_and_come_by_id() -> None:
    vectors = np.repeat(VECTORS[:3], 50, axis=0)
    for metric in Metric:
        (ranking,) = run_plan(make_plan([block_of(vectors, metric, None)], None, metric, 50, None), VECTORS[:1])
        assert len(set(ranking.scores.tolist())) == 1
        assert ranking.ids == sorted(ranking.ids)


def test_a_vector_is_at_distance_zero_of_itself() -> None:
    far_away = VECTORS[:500] + np.float32(1000)
    block = block_of(far_away, Metric.EUCLIDEAN, None)
    for row in range(0, 500, 50):
        (ranking,) = run_plan(make_plan([block], None, Metric.EUCLIDEAN, 1, None), far_away[row : row + 1])
        assert (ranking.ids, ranking.scores.tolist()) == ([f"r{row:05}"], [0.0])


@pytest.mark.parametrize("metric", Metric)
def test_numbers_beyond_float32_lose_no_record(metric: Metric) -> None:
    huge = np.eye(4, dtype=np.float32) * np.float32(3e38)
    (ranking,) = run_plan(make_plan([block_of(huge, metric, None)], None, metric, 4, None), huge[:1])
    assert ranking.ids[0] == "r00000"
    assert len(ranking.ids) == 4


def test_the_cost_of_a_step_counts_rows() -> None:
    block = block_of(VECTORS[:100], Metric.COSINE, None)
    assert Step(block, None, 100, None).cost == 100
    assert Step(block, np.arange(10), 10, None).cost == 20


def test_rows_are_gathered_where_few_are_wanted_and_none_are_walked_to() -> None:
    block = block_of(VECTORS[:100], Metric.COSINE, None)
    few, most = Step.exact(block, np.arange(10)), Step.exact(block, np.arange(90))
    walked = replace(Step.exact(block, np.arange(20)), effort=Effort(20, 20, 5))
    assert Plan(Metric.COSINE, 10, (few, walked, most, few)).gathered == 20


def test_where_most_rows_are_dead_the_others_are_picked_out() -> None:
    block = block_of(VECTORS[:100], Metric.COSINE, None).without(np.arange(1, 91))
    step = Step.exact(block, None)
    assert (step.count, step.gathers, step.cost) == (10, True, 20)
    assert step.rows().tolist() == list(range(90, 100))


@pytest.mark.parametrize("looked_up", [0, search.LOOKED_UP], ids=["looked up", "marked"])
@given(
    dead=st.sets(st.integers(0, 19), max_size=19),
    passing=st.none() | st.sets(st.integers(0, 19), min_size=1),
    asked=st.lists(st.lists(st.integers(-1, 19), min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_a_step_wants_the_live_rows_that_pass(
    looked_up: int, dead: set[int], passing: set[int] | None, asked: list[list[int]]
) -> None:
    block = block_of(VECTORS[:20], Metric.DOT, None).without(np.array(sorted(dead), np.int64) + 1)
    wanted = [row for row in range(20) if row not in dead and (passing is None or row in passing)]
    assume(wanted)
    step = Step.exact(block, None if passing is None else np.array(wanted))
    assert step.rows().tolist() == wanted
    assert step.unwanted().tolist() == [row not in wanted for row in range(20)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "LOOKED_UP", looked_up)
        assert step.wants(np.array(asked)).tolist() == [[row in wanted for row in rows] for rows in asked]
    assert step.whole == (len(wanted) == 20)


def test_the_worst_that_a_walk_may_cost_is_that_it_starves() -> None:
    vectors = VECTORS[:4000]
    block = block_of(vectors, Metric.DOT, HnswIndex())
    walked = make_plan(
        [block], np.arange(0, 4000, 2, dtype=np.int64), Metric.DOT, 1, Breadths(ef=Breadth(1, asked=True))
    )
    assert walked.steps[0].effort is not None
    assert walked.cost < walked.worst_cost == 2 * walked.steps[0].count
    whole = make_plan([block], None, Metric.DOT, 1, Breadths(ef=Breadth(1, asked=True)))
    assert whole.worst_cost == whole.cost
    beside_a_dead_row = make_plan(
        [block.without(np.array([17]))], None, Metric.DOT, 1, Breadths(ef=Breadth(1, asked=True))
    )
    assert beside_a_dead_row.cost < beside_a_dead_row.worst_cost == 4000


async def test_a_walk_that_may_starve_over_many_rows_does_not_hold_the_loop(
    sealed: FaissCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await sealed.search("", QUERIES[:1], SearchOptions(filter=FILTERS["half at random"]))
    monkeypatch.setattr(searcher, "INLINE_WORST_WORK", 1)
    threads: list[str] = []

    def noted(*arguments: Any) -> list[Ranking]:
        threads.append(threading.current_thread().name)
        return run_plan(*arguments)

    monkeypatch.setattr(searcher, "run_plan", noted)
    there = await sealed.search("", QUERIES[:1], SearchOptions(filter=FILTERS["half at random"]))
    assert [list(hits.ids) for hits in there] == [list(hits.ids) for hits in here]
    assert all(name.startswith("vecgate-search") for name in threads)
    assert threads


async def test_searching_nothing_answers_nothing(open_backend: OpenBackend) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("notes", 4))
    collection = await backend.collection("notes")
    (hits,) = await collection.search("", np.ones((1, 4), np.float32), SearchOptions())
    assert (list(hits.ids), hits.scores.dtype.name, hits.records) == ([], "float32", [])
