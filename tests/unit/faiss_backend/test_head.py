"""The head gets the memory of a bulk load ahead of it, and holds the same rows as without."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.changes import RecordsAdded
from vecgate_backends.faiss.chunk import CHUNK_ROWS, GROWING_ROWS
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.records import FloatMatrix

DIMENSION = 4
BATCH = 1000


def vectors_of(internal_ids: NDArray[np.int64]) -> FloatMatrix:
    return np.outer(internal_ids, np.arange(1, DIMENSION + 1)).astype(np.float32)


def added(first: int, count: int = BATCH) -> RecordsAdded:
    internal_ids = np.arange(first, first + count)
    ids = [f"r{number}" for number in internal_ids]
    return RecordsAdded("", internal_ids, ids, vectors_of(internal_ids), [{} for _ in ids])


def append(head: Head, change: RecordsAdded) -> None:
    head.append(change.internal_ids, change.ids, change.vectors)


def held(blocks: list[Block]) -> dict[int, tuple[str, list[float]]]:
    return {
        int(block.internal_ids[row]): (block.record_ids[row], block.vectors[row].tolist())
        for block in blocks
        for row in np.flatnonzero(block.live).tolist()
    }


@pytest.mark.parametrize("closing", [None, 3, 8])
@pytest.mark.parametrize("removing", [False, True])
def test_rows_are_the_same_with_memory_that_was_there_before(closing: int | None, removing: bool) -> None:
    with_room, without = Head(DIMENSION), Head(DIMENSION)
    for number in range(20):
        change = added(1 + number * BATCH)
        with_room.make_room(BATCH)
        for head in (with_room, without):
            append(head, change)
            if removing:
                head.remove(change.internal_ids[::3])
            if number == closing:
                head.close_chunks(head.live)
            head.compact()
        assert held(with_room.blocks()) == held(without.blocks())
    assert with_room.live == without.live


def test_a_chunk_that_begins_has_arrays_already() -> None:
    head = Head(DIMENSION)
    append(head, added(1, CHUNK_ROWS))
    head.make_room(BATCH)
    spare = head._spare
    append(head, added(1 + CHUNK_ROWS))
    assert head._chunks[-1] is spare
    assert head._spare is None


def test_closed_chunks_keep_their_place_when_the_next_rows_find_memory() -> None:
    head = Head(DIMENSION)
    append(head, added(1))
    (closed,) = head.close_chunks(BATCH)
    head.make_room(BATCH)
    append(head, added(1 + BATCH))
    assert len(head._chunks) == 2
    assert held([closed]) == held(head.blocks()[:1])


@pytest.mark.parametrize("closing", [False, True])
def test_rows_that_are_there_stay_when_memory_for_others_is_touched(closing: bool) -> None:
    head = Head(DIMENSION)
    append(head, added(1))
    before = held(head.blocks())
    if closing:
        head.close_chunks(BATCH)
    head.make_room(3 * CHUNK_ROWS)
    assert held(head.blocks()) == before


@pytest.mark.parametrize(("rows", "there"), [(GROWING_ROWS, 0), (BATCH, BATCH), (BATCH, 10)])
def test_no_chunk_is_made_for_few_rows_or_where_they_will_find_a_place(rows: int, there: int) -> None:
    head = Head(DIMENSION)
    if there:
        append(head, added(1, there))
    head.make_room(rows)
    assert head._spare is None


def test_what_is_cleared_holds_no_memory_for_rows_to_come() -> None:
    head = Head(DIMENSION)
    head.make_room(BATCH)
    assert head._spare is not None
    head.clear()
    assert head._spare is None


def test_a_partition_has_its_head_prepared_for_what_a_commit_adds() -> None:
    partition = Partition("", DIMENSION)
    partition.prepare([added(1), added(1 + BATCH)])
    assert partition.head._spare is not None
