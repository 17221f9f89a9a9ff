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
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block, among
from vecgate_backends.faiss.scoring import Rows, final_scores, nearness, nearness_of_rows, nearness_of_some
from vecgate_backends.faiss.segment_index import GATHERED, SPARE, Breadths, Effort, SegmentIndex
from vecgate_backends.records import FloatMatrix, FloatVector, Metric

CHUNK_CELLS = 1 << 24
"""Largest matrix of queries x rows at a time, 64 MiB."""
LOOKED_UP = 16
"""How much longer it takes to look a row up among those that pass a filter than to mark one. Measured with 30,000 and 100,000 rows of which half pass:
0.09 us against 0.005 us."""


@dataclass(frozen=True, slots=True)
class Step:
    """How one block is searched.

    Attributes:
        passing: the rows that pass the filter, ascending, all of them alive; None for all that are alive.
        count: how many rows are wanted, at least 1.
        effort: of a walk; None for an exact search.
    """

    block: Block
    passing: Rows | None
    count: int
    effort: Effort | None

    @classmethod
    def exact(cls, block: Block, passing: Rows | None) -> Step:
        """Compare all wanted rows."""
        return cls(block, passing, len(block) - block.dead if passing is None else len(passing), None)

    @property
    def cost(self) -> int:
        """Rows' worth of comparisons a query."""
        return self.exact_cost if self.effort is None else self.effort.cost

    @property
    def exact_cost(self) -> int:
        """The same if every wanted row is compared, as after a walk that starved."""
        return self.count * GATHERED if self.gathers else len(self.block)

    @property
    def gathers(self) -> bool:
        """Whether only wanted rows are compared, from all over the block; where most are wanted, comparing all of them is less work."""
        return self.count * GATHERED < len(self.block)

    @property
    def whole(self) -> bool:
        """Whether every row is wanted."""
        return self.count == len(self.block)

    def rows(self) -> Rows:
        """List the wanted rows, ascending."""
        return np.flatnonzero(self.block.live) if self.passing is None else self.passing

    def unwanted(self) -> NDArray[np.bool_]:
        """Tell of each row of the block whether it is not wanted."""
        if self.passing is None:
            return ~self.block.live
        unwanted = np.ones(len(self.block), np.bool_)
        unwanted[self.passing] = False
        return unwanted

    def wants(self, rows: Rows) -> NDArray[np.bool_]:
        """Tell whether some rows are wanted, in the shape of `rows`; -1, which stands for none, is not."""
        if self.passing is None:
            return (rows >= 0) & self.block.live[rows]  # row -1 reads the last one
        if rows.size * LOOKED_UP > len(self.block):
            return (rows >= 0) & ~self.unwanted()[rows]
        return among(self.passing, rows)


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

    @property
    def gathered(self) -> int:
        """Rows that are picked out of their blocks and compared, with all queries of a search or of searches that run together."""
        return sum(step.count for step in self.steps if step.effort is None and step.gathers)

    @property
    def worst_cost(self) -> int:
        """The same if every walk that may starve does: one through rows of which some are not wanted."""
        return sum(step.cost if step.whole else max(step.cost, step.exact_cost) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The nearest rows to one query, sorted by score, highest first, then by id; `starved`: walks that became exact."""

    ids: list[str]
    internal_ids: list[int]
    scores: FloatVector
    starved: int


_Hit: TypeAlias = tuple[float, str, int]
"""The negated score, the record's id and the version's number, which sort as an answer does."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Candidates of one step: nearness and rows, shape (queries, width); row -1 fills up. `starved`, shape (queries,)."""

    near: NDArray[np.floating]
    rows: Rows
    starved: NDArray[np.bool_]


def make_plan(
    blocks: Sequence[Block], matching: NDArray[np.int64] | None, metric: Metric, top_k: int, breadths: Breadths | None
) -> Plan:
    """Choose how to search each block.

    Args:
        blocks: all blocks of a partition.
        matching: the live versions that pass the filter, ascending; None without a filter.
        metric: of the collection.
        top_k: hits wanted.
        breadths: of walks; None to search exactly whatever it costs.
    """
    exact = [Step.exact(block, None if matching is None else block.rows_of(matching)) for block in blocks]
    # What passes a filter may lie together, wherever the other rows do.
    total = sum(step.count for step in exact) if matching is None else 0
    return Plan(metric, top_k, tuple(_cheaper(step, total, top_k, breadths) for step in exact if step.count))


def run_plan(plan: Plan, queries: FloatMatrix) -> list[Ranking]:
    """Search for each row of `queries`, shape (n, dimension), in index form."""
    if not plan.steps:
        return [Ranking([], [], np.empty(0, np.float32), 0) for _ in queries]
    found = [_candidates(plan, step, queries) for step in plan.steps]
    hits = _scored(plan, queries, _best(plan, found))
    starved = np.sum([candidates.starved for candidates in found], axis=0).tolist()
    return [_rank(plan, own, walks) for own, walks in zip(hits, starved, strict=True)]


def _cheaper(exact: Step, total: int, top_k: int, breadths: Breadths | None) -> Step:
    """Return the cheaper of comparing the wanted rows of a block and of a walk to them; `total`: rows wanted of all blocks, 0 if that tells nothing."""
    block, index = exact.block, exact.block.index
    if breadths is None or index is None:
        return exact
    share = exact.count / total if total else 1.0
    effort = index.effort(len(block), exact.count, top_k, breadths.of(index, share))
    return min(exact, Step(block, exact.passing, exact.count, effort), key=attrgetter("cost"))


def _best(plan: Plan, found: Sequence[_Candidates]) -> list[Rows]:
    """Return the rows of each step that are among the best of all steps; -1 in the place of others."""
    width = plan.top_k + SPARE
    if len(found) == 1 or sum(candidates.near.shape[1] for candidates in found) <= width:
        return [candidates.rows for candidates in found]
    near = np.concatenate([candidates.near for candidates in found], axis=1)
    columns = near.shape[1]
    last = np.partition(near, columns - width, axis=1)[:, columns - width, np.newaxis]
    return [np.where(candidates.near >= last, candidates.rows, -1) for candidates in found]


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
    block = step.block
    gathered = step.rows() if step.gathers else None
    unwanted = None if step.whole or step.gathers else step.unwanted()
    lot = max(1, CHUNK_CELLS // len(block))
    nears, chosen = [], []
    for begin in range(0, len(queries), lot):
        near = _compared(plan.metric, queries[begin : begin + lot], block, gathered)
        if unwanted is not None:
            near[:, unwanted] = -np.inf
        best = _largest(near, width)
        nears.append(_picked(near, best))
        chosen.append(best if gathered is None else gathered[best])
    return _Candidates(np.concatenate(nears), np.concatenate(chosen), np.zeros(len(queries), np.bool_))


def _compared(metric: Metric, queries: FloatMatrix, block: Block, rows: Rows | None) -> NDArray[np.floating]:
    """Compare queries with some rows of a block, None for all, shape (queries, rows)."""
    if rows is None:
        return nearness(metric, queries, block.vectors, block.norms)
    return nearness_of_some(metric, queries, block.vectors, block.norms, rows)


def _walk(plan: Plan, step: Step, queries: FloatMatrix, width: int, index: SegmentIndex, effort: Effort) -> _Candidates:
    block = step.block
    near, rows = index.nearest(queries, effort)
    if not step.whole:
        wanted = step.wants(rows)
        rows, near = np.where(wanted, rows, -1), np.where(wanted, near, -np.inf)
    if index.quantized:
        near = nearness_of_rows(plan.metric, queries, block.vectors, block.norms, rows)
    starved = (rows >= 0).sum(axis=1) < min(plan.top_k, step.count)
    if near.shape[1] > width:
        best = _largest(near, width)
        near, rows = _picked(near, best), _picked(rows, best)
    return _Candidates(near, rows, starved)


def _largest(values: NDArray[np.floating], width: int) -> Rows:
    """Return the columns of the `width` largest values of each row, in no order; all columns if there are fewer."""
    columns = values.shape[1]
    if columns <= width:
        return np.broadcast_to(np.arange(columns), values.shape)
    return np.argpartition(values, columns - width, axis=1)[:, columns - width :]


def _picked(values: NDArray[Any], columns: Rows) -> NDArray[Any]:
    """Return some columns of each row, as np.take_along_axis does, which takes 10 us longer for one query."""
    return values[np.arange(len(values))[:, np.newaxis], columns]


def _scored(plan: Plan, queries: FloatMatrix, chosen: Sequence[Rows]) -> list[list[_Hit]]:
    """Score the chosen candidates of each step anew, shape (queries, width); return the hits of each query."""
    blocks = [step.block for step in plan.steps]
    places = [np.nonzero(rows >= 0) for rows in chosen]
    found = [rows[place] for rows, place in zip(chosen, places, strict=True)]
    owners = _joined([numbers for numbers, _ in places])
    vectors = _joined([block.vectors[rows] for block, rows in zip(blocks, found, strict=True)])
    ids = [block.record_ids[row] for block, rows in zip(blocks, found, strict=True) for row in rows.tolist()]
    internal_ids = _joined([block.internal_ids[rows] for block, rows in zip(blocks, found, strict=True)])
    scores = final_scores(plan.metric, queries, vectors, owners)
    hits: list[list[_Hit]] = [[] for _ in queries]
    for query, score, record_id, internal_id in zip(
        owners.tolist(), scores.tolist(), ids, internal_ids.tolist(), strict=True
    ):
        hits[query].append((-score, record_id, internal_id))
    return hits


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the rows of all parts, those of a single one as they are."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _rank(plan: Plan, hits: list[_Hit], starved: int) -> Ranking:
    """Sort the hits of a query; equal scores are those equal as float32, since a caller sees those."""
    hits.sort()
    del hits[plan.top_k :]
    return Ranking(
        [record_id for _, record_id, _ in hits],
        [internal_id for _, _, internal_id in hits],
        np.array([-negated for negated, _, _ in hits], np.float32),
        starved,
    )
