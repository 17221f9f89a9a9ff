"""Quantised graphs and inverted lists: scores from the originals, which stay in the file; breadths that are measured, or given."""

from __future__ import annotations

import mmap
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.build_steps import BuildSteps, BuildStoppedError
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.index_building import (
    LEAST_LISTS,
    VECTORS_A_LIST,
    build_index,
    list_count,
)
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.segment_index import Breadth
from vecgate_backends.faiss.turns import Turns, Work
from vecgate_backends.records import (
    IDS_ONLY,
    CollectionSpec,
    FloatMatrix,
    HnswIndex,
    IvfIndex,
    Metric,
    Quantization,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]

DIMENSION = 24
ROWS = 3000
QUANTIZED = HnswIndex(quantization=Quantization.SCALAR8)
LISTS = IvfIndex()
EACH_INDEX = pytest.mark.parametrize("index", [QUANTIZED, LISTS], ids=lambda index: index.kind)


def clustered(count: int) -> FloatMatrix:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((12, DIMENSION))
    points = centres[rng.integers(0, 12, count)] + 0.4 * rng.standard_normal((count, DIMENSION))
    return points.astype(np.float32)


VECTORS = clustered(ROWS + 40)
STORED, QUERIES = VECTORS[:ROWS], VECTORS[ROWS:]


async def sealed(
    open_backend: OpenBackend, put: Put, index: HnswIndex | IvfIndex, rows: int = ROWS, metric: Metric = Metric.COSINE
) -> FaissCollection:
    """A collection whose vectors are all in one segment."""
    backend = await open_backend(seal_threshold=rows)
    await backend.create_collection(CollectionSpec("notes", DIMENSION, metric, index=index))
    collection = await backend.collection("notes")
    await put(collection, [f"r{row:05}" for row in range(rows)], STORED[:rows])
    await backend.settle()
    return collection


def only_block(collection: FaissCollection) -> Block:
    (segment,) = collection._partition("").segments
    return segment.block


def remove_segments(directory: Path) -> None:
    (path,) = directory.glob("collections/*/segments/*")
    path.unlink()


def is_mapped(array: Any) -> bool:
    """Whether an array's memory is a mapped file."""
    while array is not None:
        if isinstance(array, mmap.mmap):
            return True
        array = getattr(array, "base", None)
    return False


@EACH_INDEX
async def test_vectors_stay_in_the_file_when_it_is_built_and_when_it_is_loaded(
    index: HnswIndex | IvfIndex, open_backend: OpenBackend, put: Put
) -> None:
    built = only_block(await sealed(open_backend, put, index))
    loaded = only_block(await (await open_backend(seal_threshold=ROWS)).collection("notes"))
    for block in (built, loaded):
        assert is_mapped(block.vectors)
        np.testing.assert_array_equal(block.vectors, index_form(Metric.COSINE, STORED))


async def test_a_graph_that_is_not_quantised_holds_the_vectors_itself(open_backend: OpenBackend, put: Put) -> None:
    assert not is_mapped(only_block(await sealed(open_backend, put, HnswIndex())).vectors)


@EACH_INDEX
def test_what_is_in_memory_is_a_byte_a_component(index: HnswIndex | IvfIndex) -> None:
    wide = np.random.default_rng(1).standard_normal((2000, 384)).astype(np.float32)
    kept = len(
        faiss.serialize_index(
            build_index(wide, Metric.COSINE, index, BuildSteps(lambda: False, Turns(), Work.MERGE)).raw
        )
    ) / len(wide)
    whole = len(
        faiss.serialize_index(
            build_index(wide, Metric.COSINE, HnswIndex(), BuildSteps(lambda: False, Turns(), Work.MERGE)).raw
        )
    ) / len(wide)
    assert 384 < kept < 384 + 200
    assert whole > 4 * 384


@EACH_INDEX
@pytest.mark.parametrize("metric", Metric)
async def test_scores_are_those_of_exact_search(
    index: HnswIndex | IvfIndex, metric: Metric, open_backend: OpenBackend, put: Put
) -> None:
    collection = await sealed(open_backend, put, index, metric=metric)
    everything = await collection.search("", QUERIES, SearchOptions(top_k=ROWS, exact=True, fields=IDS_ONLY))
    for found, exact in zip(
        await collection.search("", QUERIES, SearchOptions(fields=IDS_ONLY)), everything, strict=True
    ):
        assert found.explanation.details["walked_segments"] == 1
        scores = dict(zip(exact.ids, exact.scores.tolist(), strict=True))
        assert found.scores.tolist() == [scores[record_id] for record_id in found.ids]


@EACH_INDEX
async def test_the_measured_breadth_survives_a_reopen(
    index: HnswIndex | IvfIndex, open_backend: OpenBackend, put: Put
) -> None:
    built = only_block(await sealed(open_backend, put, index)).index
    loaded = only_block(await (await open_backend(seal_threshold=ROWS)).collection("notes")).index
    assert built is not None
    assert loaded is not None
    assert built.breadth == loaded.breadth > 0


async def test_so_many_lists_are_visited_as_a_search_asks_for(open_backend: OpenBackend, put: Put) -> None:
    collection = await sealed(open_backend, put, IvfIndex(lists=30, nprobe=3))
    block = only_block(collection)
    assert block.index is not None
    assert block.index.raw.nlist == 30
    (usual,) = await collection.search("", QUERIES[:1], SearchOptions(ef=500))
    assert usual.explanation.details["nprobe"] == max(3, block.index.breadth)
    (asked,) = await collection.search("", QUERIES[:1], SearchOptions(nprobe=2))
    assert (asked.explanation.details["nprobe"], asked.explanation.details["ef"]) == (2, 0)


async def test_lists_that_hold_too_few_matches_are_made_up_for(open_backend: OpenBackend, put: Put) -> None:
    collection = await sealed(open_backend, put, IvfIndex(lists=60))
    options = SearchOptions(top_k=400, nprobe=1, fields=IDS_ONLY)
    (found,) = await collection.search("", QUERIES[:1], options)
    assert (len(found.ids), found.explanation.details["starved_walks"]) == (400, 1)
    assert "exact again over 1 of them" in found.explanation.plan


def test_a_query_unlike_all_records_goes_on_to_more_lists() -> None:
    index = build_index(STORED, Metric.EUCLIDEAN, IvfIndex(), BuildSteps(lambda: False, Turns(), Work.MERGE))
    strange = np.ascontiguousarray(-STORED[:200])
    exact = np.argsort(((strange[:, None] - STORED[None]) ** 2).sum(axis=2), axis=1)[:, :10]

    def recall(breadth: Breadth) -> float:
        _, rows = index.nearest(strange, index.effort(ROWS, ROWS, 10, breadth))
        return float(np.mean([len(set(found) & set(nearest)) / 10 for found, nearest in zip(rows, exact, strict=True)]))

    assert recall(Breadth(index.breadth, asked=True)) < 0.9
    assert recall(Breadth(1)) >= 0.95


async def test_a_small_segment_has_no_lists(open_backend: OpenBackend, put: Put) -> None:
    collection = await sealed(open_backend, put, LISTS, rows=LEAST_LISTS * VECTORS_A_LIST - 1)
    (segment,) = collection._partition("").segments
    assert (segment.row.kind, segment.block.index) == ("flat", None)


@pytest.mark.parametrize(
    ("rows", "asked", "lists"),
    [
        (8_192, None, 210),  # as many as can be filled
        (100_000, None, 1265),  # four a square root
        (1_000_000, None, 4000),
        (100_000, 100, 100),
        (8_192, 4096, 210),
        (10, 4, 1),
    ],
)
def test_the_number_of_lists_follows_that_of_vectors(rows: int, asked: int | None, lists: int) -> None:
    assert list_count(rows, IvfIndex(lists=asked)) == lists


@EACH_INDEX
def test_a_build_is_given_up_when_it_is_told_to(index: HnswIndex | IvfIndex) -> None:
    with pytest.raises(BuildStoppedError):
        build_index(STORED, Metric.DOT, index, BuildSteps(lambda: True, Turns(), Work.MERGE))


@EACH_INDEX
async def test_a_file_that_is_gone_from_its_directory_is_still_searched(
    index: HnswIndex | IvfIndex, open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    collection = await sealed(open_backend, put, index)
    remove_segments(directory)  # as a merge does while searches go on
    found = await collection.search("", STORED[:20], SearchOptions(top_k=1, exact=True, fields=IDS_ONLY))
    assert [list(hits.ids) for hits in found] == [[f"r{row:05}"] for row in range(20)]
