"""Searching the blocks of a partition: a plan by cost, then its execution, which may run on any thread.

A block is searched in one of two ways. Exact: compare with every wanted row. Walk: let the index (a graph, or inverted lists) give the
nearest rows whatever they are and keep the wanted ones; if at least top_k are kept, they are the nearest wanted rows as surely as the
walk found the nearest rows, so a filter that correlates with the vectors costs no recall. If fewer are kept the walk has starved, and the
block is searched exactly for that query. (A walk told to collect wanted rows only would return top_k of them from wherever it came by.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.scoring import Rows, final_scores, nearness, nearness_of_rows
from vecgate_backends.faiss.segment_index import GATHERED, SPARE, Breadth, Effort, SegmentIndex
from vecgate_backends.records import FloatMatrix, FloatVector, Metric

CHUNK_CELLS = 1 << 24
"""Largest matrix of queries x rows at a time, 64 MiB."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one block is searched.

    Attributes:
        rows: the wanted rows, ascending; None for all.
        count: how many they are, at least 1.
        effort: of a walk; None for an exact search.
    """

    block: Block
    rows: Rows | None
    count: int
    effort: Effort | None

    @property
    def cost(self) -> int:
        """Rows' worth of comparisons a query."""
        if self.effort is not None:
            return self.effort.cost
        return self.count * (1 if self.rows is None else GATHERED)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a search for queries with one metric and top_k."""

    metric: Metric
    top_k: int
    steps: tuple[Step, ...]

    @property
    def cost(self) -> int:
        """Rows' worth of comparisons a query."""
        return sum(step.cost for step in self.steps)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The nearest rows to one query, sorted by score, highest first, then by id; `starved`: walks that became exact."""

    ids: list[str]
    internal_ids: list[int]
    scores: FloatVector
    starved: int


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Candidates of one step: nearness and rows, shape (queries, width); row -1 fills up. `starved`, shape (queries,)."""

    near: NDArray[np.floating]
    rows: Rows
    starved: NDArray[np.bool_]


def make_plan(
    blocks: Sequence[Block], matching: NDArray[np.int64] | None, metric: Metric, top_k: int, breadth: Breadth | None
) -> Plan:
    """Choose how to search each block.

    Args:
        blocks: all blocks of a partition.
        matching: the live versions that pass the filter, ascending; None without a filter.
        metric: of the collection.
        top_k: hits wanted.
        breadth: of walks; None to search exactly whatever it costs.
    """
    steps = []
    for block in blocks:
        rows = _wanted_rows(block, matching)
        count = len(block) if rows is None else len(rows)
        if count:
            step = Step(block, rows, count, None)
            if breadth is not None and block.index is not None:
                effort = block.index.effort(len(block), count, top_k, breadth)
                step = min(step, Step(block, rows, count, effort), key=attrgetter("cost"))
            steps.append(step)
    return Plan(metric, top_k, tuple(steps))


def run_plan(plan: Plan, queries: FloatMatrix) -> list[Ranking]:
    """Search for each row of `queries`, shape (n, dimension), in index form."""
    if not plan.steps:
        return [Ranking([], [], np.empty(0, np.float32), 0) for _ in queries]
    found = [_candidates(plan, step, queries) for step in plan.steps]
    near = np.concatenate([candidates.near for candidates in found], axis=1)
    rows = np.concatenate([candidates.rows for candidates in found], axis=1)
    owners = np.repeat(np.arange(len(found)), [candidates.rows.shape[1] for candidates in found])
    starved = np.sum([candidates.starved for candidates in found], axis=0)
    best = _largest(near, plan.top_k + SPARE)
    return [
        _rank(plan, queries[at], owners[best[at]], rows[at, best[at]], int(starved[at])) for at in range(len(queries))
    ]


def _wanted_rows(block: Block, matching: NDArray[np.int64] | None) -> Rows | None:
    if matching is not None:
        return block.rows_of(matching)
    return np.flatnonzero(block.live) if block.dead else None


def _candidates(plan: Plan, step: Step, queries: FloatMatrix) -> _Candidates:
    width = min(plan.top_k + SPARE, step.count)
    if step.effort is None or step.block.index is None:
        return _exact(plan, step, queries, width)
    walked = _walk(plan, step, queries, width, step.block.index, step.effort)
    if walked.starved.any():
        again = _exact(plan, step, queries[walked.starved], width)
        walked.near[walked.starved], walked.rows[walked.starved] = again.near, again.rows
    return walked


def _exact(plan: Plan, step: Step, queries: FloatMatrix, width: int) -> _Candidates:
    block, rows = step.block, step.rows
    vectors, norms = (block.vectors, block.norms) if rows is None else (block.vectors[rows], block.norms[rows])
    lot = max(1, CHUNK_CELLS // step.count)
    nears, chosen = [], []
    for begin in range(0, len(queries), lot):
        near = nearness(plan.metric, queries[begin : begin + lot], vectors, norms)
        best = _largest(near, width)
        nears.append(np.take_along_axis(near, best, axis=1))
        chosen.append(best if rows is None else rows[best])
    return _Candidates(np.concatenate(nears), np.concatenate(chosen), np.zeros(len(queries), np.bool_))


def _walk(plan: Plan, step: Step, queries: FloatMatrix, width: int, index: SegmentIndex, effort: Effort) -> _Candidates:
    block = step.block
    near, rows = index.nearest(queries, effort)
    if step.rows is not None:
        wanted = np.zeros(len(block), np.bool_)
        wanted[step.rows] = True
        rows = np.where((rows >= 0) & wanted[rows], rows, -1)  # row -1 reads the last one and is left out already
        near = np.where(rows >= 0, near, -np.inf)
    if index.quantized:
        near = nearness_of_rows(plan.metric, queries, block.vectors, block.norms, rows)
    best = _largest(near, width)
    kept = np.take_along_axis(rows, best, axis=1).astype(np.intp)
    starved = np.count_nonzero(rows >= 0, axis=1) < min(plan.top_k, step.count)
    return _Candidates(np.take_along_axis(near, best, axis=1), kept, starved)


def _largest(values: NDArray[np.floating], width: int) -> Rows:
    """Return the columns of the `width` largest values of each row, in no order; all columns if there are fewer."""
    columns = values.shape[1]
    if columns <= width:
        return np.broadcast_to(np.arange(columns), values.shape)
    return np.argpartition(values, columns - width, axis=1)[:, columns - width :]


def _rank(plan: Plan, query: FloatVector, owners: Rows, rows: Rows, starved: int) -> Ranking:
    """Score the candidates of one query anew and sort them; equal scores are those equal as float32, since a caller sees those."""
    hits: list[tuple[float, str, int]] = []
    for number, step in enumerate(plan.steps):
        own = rows[(owners == number) & (rows >= 0)]
        if len(own):
            block = step.block
            scores = final_scores(plan.metric, query, block.vectors[own]).tolist()
            ids = [block.record_ids[row] for row in own.tolist()]
            hits.extend(zip(scores, ids, block.internal_ids[own].tolist(), strict=True))
    hits.sort(key=lambda hit: (-hit[0], hit[1]))
    del hits[plan.top_k :]
    return Ranking(
        [record_id for _, record_id, _ in hits],
        [internal_id for _, _, internal_id in hits],
        np.array([score for score, _, _ in hits], np.float32),
        starved,
    )
