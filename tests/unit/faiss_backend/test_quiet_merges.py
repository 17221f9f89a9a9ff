"""Once a namespace is not written to any more, its segments become few: one graph of many rows is searched faster than two of few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss import FaissBackend
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.index_building import DRAFT_BREADTH
from vecgate_backends.faiss.manifest import SegmentRow
from vecgate_backends.faiss.rebuild import Rebuild, choose_quiet_merge
from vecgate_backends.faiss.scoring import squared_norms
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.segment_file import FILE_VERSION
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.records import (
    IDS_ONLY,
    CollectionSpec,
    FloatMatrix,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    Quantization,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 200
DIMENSION = 8


def ids(begin: int, end: int) -> list[str]:
    return [f"r{number:05}" for number in range(begin, end)]


def vectors(count: int) -> FloatMatrix:
    return np.random.default_rng(count).standard_normal((count, DIMENSION)).astype(np.float32)


def block_of(rows: int) -> Block:
    values = vectors(rows)
    live = np.ones(rows, np.bool_)
    return Block(np.arange(rows, dtype=np.int64), ids(0, rows), values, squared_norms(values), live, 0)


def segment_of(rows: int, *, draft: bool = False) -> Segment:
    parameters = SegmentParameters(HnswIndex(), 64, draft).encode()
    row = SegmentRow(
        uuid=f"{rows:032x}",
        namespace="",
        kind="hnsw",
        parameters=parameters,
        count=rows,
        checksum=b"",
        first_internal_id=0,
        last_internal_id=rows - 1,
        file_version=FILE_VERSION,
    )
    return Segment(row, block_of(rows))


def files(directory: Path) -> list[Path]:
    return list(directory.glob("collections/*/segments/*"))


async def make(backend: FaissBackend, index: IndexConfig | None = None) -> FaissCollection:
    await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN, index=index))
    return await backend.collection("notes")


def segment_rows(collection: FaissCollection) -> list[int]:
    return sorted(len(segment.block) for segment in collection._partition("").segments)


async def test_a_pause_in_writing_merges_what_is_left_into_one_segment(
    open_backend: OpenBackend, put: Put, directory: Path
) -> None:
    stored = vectors(2 * THRESHOLD + 5)
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=0.2)
    collection = await make(backend)
    for begin in (0, THRESHOLD):
        await put(collection, ids(begin, begin + THRESHOLD), stored[begin : begin + THRESHOLD])
        await backend.settle()
    await put(collection, ids(2 * THRESHOLD, len(stored)), stored[2 * THRESHOLD :])
    assert segment_rows(collection) == [THRESHOLD, THRESHOLD]
    async with asyncio.timeout(30):
        while segment_rows(collection) != [len(stored)]:  # noqa: ASYNC110  # the pause has no event
            await asyncio.sleep(0.01)
    await backend.settle()
    assert collection._partition("").head.live == 0
    assert len(files(directory)) == 1
    found = await collection.search("", stored, SearchOptions(top_k=1, fields=IDS_ONLY))
    assert [list(hits.ids) for hits in found] == [[record_id] for record_id in ids(0, len(stored))]


async def test_writing_without_a_pause_puts_the_merge_off(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=0.5)
    collection = await make(backend)
    for begin in (0, THRESHOLD):
        await put(collection, ids(begin, begin + THRESHOLD))
        await backend.settle()
    for number in range(10):
        await put(collection, [f"more {number}"])
        await asyncio.sleep(0.1)
        assert segment_rows(collection) == [THRESHOLD, THRESHOLD]


@pytest.mark.parametrize(
    ("head", "segments", "merged"),
    [
        (0, [], None),
        (50, [], None),
        (0, [100], None),
        (24, [100], None),
        (25, [100], [100]),
        (0, [100, 100], [100, 100]),
        (0, [20, 1000, 20], [20, 20]),
        (0, [1000, 100, 20, 30], [100, 30, 20]),
        (300, [1000, 100], [1000, 100]),
    ],
)
def test_a_quiet_merge_takes_a_segment_only_with_a_quarter_of_its_rows_beside(
    head: int, segments: list[int], merged: list[int] | None
) -> None:
    waiting = Head(DIMENSION)
    waiting.append(np.arange(head, dtype=np.int64), ids(0, head), vectors(head))
    found = choose_quiet_merge(waiting, [segment_of(rows) for rows in segments])
    if merged is None:
        assert found is None
    elif head:  # it is sealed first
        assert found is not None
        assert [sum(len(block) for block in found.head), *found.segments] == [head]
    else:
        assert found is not None
        assert not found.head
        assert [len(segment.block) for segment in found.segments] == merged


def test_a_merge_comes_before_drafts_that_are_not_part_of_it() -> None:
    draft, one, another = segment_of(1000, draft=True), segment_of(100), segment_of(90)
    assert choose_quiet_merge(Head(DIMENSION), [draft, one, another]) == Rebuild((), (one, another))


def test_a_draft_is_built_anew_once_nothing_is_to_be_merged() -> None:
    waiting = Head(DIMENSION)
    waiting.append(np.arange(4, dtype=np.int64), ids(0, 4), vectors(4))
    whole, draft, small = segment_of(1000), segment_of(100, draft=True), segment_of(20, draft=True)
    assert choose_quiet_merge(waiting, [whole, draft, small]) == Rebuild((), (draft,))
    assert choose_quiet_merge(waiting, [whole, small]) == Rebuild((), (small,))
    assert choose_quiet_merge(waiting, [whole]) is None


def built(collection: FaissCollection) -> list[tuple[bool, int]]:
    """Return of each segment whether it is a draft, and how broadly it was built."""
    segments = collection._partition("").segments
    drafts = [SegmentParameters.decode(segment.row.parameters).draft for segment in segments]
    indexes = [segment.block.index for segment in segments]
    return [(draft, index.raw.hnsw.efConstruction) for draft, index in zip(drafts, indexes, strict=True) if index]


@pytest.mark.parametrize("quantization", Quantization)
async def test_a_full_head_becomes_a_draft_and_a_pause_makes_it_what_the_collection_is_to_have(
    open_backend: OpenBackend, put: Put, quantization: Quantization
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=0.5)
    collection = await make(backend, HnswIndex(ef_construction=150, quantization=quantization))
    await put(collection, ids(0, THRESHOLD))
    await backend.settle()
    assert built(collection) == [(True, DRAFT_BREADTH)]
    async with asyncio.timeout(30):
        while built(collection) != [(False, 150)]:  # noqa: ASYNC110  # the pause has no event
            await asyncio.sleep(0.01)
    await backend.settle()
    assert segment_rows(collection) == [THRESHOLD]


@pytest.mark.parametrize(
    ("index", "quiet_seconds"),
    [(HnswIndex(ef_construction=30), 60), (IvfIndex(), 60), (HnswIndex(), 0)],
    ids=["a narrow graph", "inverted lists", "no pauses"],
)
async def test_where_a_draft_would_be_the_same_or_stay_for_ever_there_is_none(
    open_backend: OpenBackend, put: Put, index: IndexConfig, quiet_seconds: float
) -> None:
    backend = await open_backend(seal_threshold=1000, quiet_seconds=quiet_seconds)
    collection = await make(backend, index)
    await put(collection, ids(0, 1000))
    await backend.settle()
    (segment,) = collection._partition("").segments
    parameters = SegmentParameters.decode(segment.row.parameters)
    assert (parameters.index, parameters.draft) == (index, False)


async def test_a_draft_is_known_and_built_anew_after_a_restart(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=60)
    await put(await make(backend), ids(0, THRESHOLD))
    await backend.settle()
    await backend.close()
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=0.2)
    collection = await backend.collection("notes")
    assert isinstance(collection, FaissCollection)
    async with asyncio.timeout(30):
        while built(collection) != [(False, HnswIndex().ef_construction)]:  # noqa: ASYNC110  # the pause has no event
            await asyncio.sleep(0.01)
