"""What a sealed segment is searched by: a Faiss index over its rows, and how broadly it has to be searched.

Both kinds work alike. They give the nearest rows whatever these are, so many that enough of them are wanted ones; the caller keeps the
wanted. What a quantised index says of nearness is a guess: its candidates are compared again with their original vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import faiss
import numpy as np

from vecgate_backends.faiss.scoring import Nearness, Rows
from vecgate_backends.records import FloatMatrix, HnswIndex, IndexConfig, IvfIndex, Quantization

SPARE = 8
"""Candidates beyond top_k: bulk nearness is rounded, so the last of the top_k may stand a few places lower in it."""
ROWS_A_STEP = 45
"""Rows compared in the time a walk takes for one unit of ef. Measured at 384 dimensions: 36 in 4,000 rows, 48 in 8,192, 71 in 32,768, which no
cache holds any more (3 us against 0.043 us a row); where it matters most, the rows are few."""
GATHERED = 2
"""How much longer a row takes that is picked out of its block."""
MARGIN = 2
"""An index is asked for so many times the candidates wanted: the far end of what it finds has gaps."""
NARROWEST_WALK = 64
"""The least ef of a graph of up to USUAL_ROWS; of a larger one it grows with a power of the rows, WALK_GROWTH. Measured on embeddings of
definitions and renormalised neighbours of them, for a recall of 0.98 of queries unlike the records: 64 for 100,000 rows, 80 for 200,000, 96 for
400,000. What is measured when a graph is built cannot tell: its queries are records."""
USUAL_ROWS = 100_000
WALK_GROWTH = 0.3
SHARE_GROWTH = 0.2
"""Where a graph holds a share of the rows wanted, the least ef is multiplied by a power of the share, unless it was measured that the graph needs more
than the least. Measured on embeddings of definitions, five drafts of 8,192 rows beside a graph of 50,000, top 10: with ef 32 in the drafts a walk
takes half of the time that it takes with 64, and all of them find 0.982 instead of 0.987; where all ten lie in one draft, 0.961 instead of 0.985. That is narrower than these get: 39."""
WIDENING = math.sqrt(2)
NEIGHBOURS = 10
"""Matches for which breadths are measured."""
USUAL_REACH = MARGIN * (NEIGHBOURS + SPARE)

Found: TypeAlias = tuple[Nearness, Rows]
"""Nearness and rows of candidates, each of shape (queries, candidates); row -1, nearness -inf where there are fewer."""


@dataclass(frozen=True, slots=True)
class Breadth:
    """How broadly to search: `least` exactly, if a search asked for it, else at least `least` and what the index needs.

    It is the ef of a graph, the number of lists visited of inverted lists.

    Attributes:
        share: of all rows wanted that the index holds, more than 0 and at most 1: as many of the matches are expected in it. Lists, which go on
            as long as that brings nearer rows, take no notice of it.
    """

    least: int
    asked: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Breadths:
    """The breadth of each kind of index: a partition may have several while it is built anew with other settings."""

    ef: Breadth = Breadth(1)
    nprobe: Breadth = Breadth(1)

    def of(self, index: SegmentIndex, share: float = 1.0) -> Breadth:
        """Return the breadth of an index that holds a share of the rows wanted."""
        breadth: Breadth = getattr(self, index.parameter)
        return Breadth(breadth.least, breadth.asked, share)


@dataclass(frozen=True, slots=True)
class Effort:
    """How one index is searched for a query.

    Attributes:
        breadth: ef, or the lists to begin with.
        candidates: nearest rows taken from it.
        cost: in rows compared.
        settled: so many of the nearest must stay the same when twice the lists are visited; 0 to visit no more.
    """

    breadth: int
    candidates: int
    cost: int
    settled: int = 0


@dataclass(frozen=True, slots=True)
class HnswGraph:
    """A graph that is walked.

    Attributes:
        raw: faiss.IndexHNSWFlat, or faiss.IndexHNSWSQ where it is quantised. breadth: the ef that was measured for it; 0 before.
    """

    parameter: ClassVar[str] = "ef"
    target: ClassVar[float] = 0.97
    raw: Any
    quantized: bool
    breadth: int = 0

    @property
    def name(self) -> str:
        """What a search through it is called in explanations."""
        return "8-bit HNSW walk" if self.quantized else "HNSW walk"

    def effort(self, rows: int, wanted: int, top_k: int, breadth: Breadth) -> Effort:
        """Return what finds the top_k of `wanted` rows, if these are spread evenly among all `rows`."""
        least: float = breadth.least
        if not breadth.asked:
            usual = max(USUAL_REACH, NARROWEST_WALK * breadth.share**SHARE_GROWTH)
            least = max(least, self.breadth if self.breadth > NARROWEST_WALK else usual)
        ef = min(rows, math.ceil(max(least, MARGIN * min(top_k + SPARE, wanted)) * rows / wanted))
        whole = rows == wanted and not self.quantized
        return Effort(ef, min(top_k + SPARE, rows) if whole else ef, ef * ROWS_A_STEP)

    def nearest(self, queries: FloatMatrix, effort: Effort) -> Found:
        """Return the nearest rows, wanted or not."""
        return _found(self.raw, queries, effort, _walk_parameters(effort.breadth))

    def breadths(self, rows: int) -> Iterator[int]:
        """Yield the least ef and greater ones, as long as a walk costs less than comparing with every row."""
        ef = NARROWEST_WALK * max(1.0, rows / USUAL_ROWS) ** WALK_GROWTH
        yield round(ef)
        while (ef := ef * WIDENING) * ROWS_A_STEP < rows:
            yield round(ef)


@dataclass(frozen=True, slots=True)
class InvertedLists:
    """Lists of near rows, of which those nearest to the query are searched.

    A query unlike the records needs many more lists than one like them. So a query goes on with twice the lists as long as that brings nearer
    rows, unless a search asked for a number of lists. Where it begins grows with the square root of how many of the nearest rows are to be
    reached: measured on embeddings of definitions, ten times as many need twice the lists, 36 times as many three to four times.

    Attributes:
        raw: faiss.IndexIVFScalarQuantizer. breadth: the lists that it was measured to begin with; 0 before.
    """

    name: ClassVar[str] = "IVF probe"
    parameter: ClassVar[str] = "nprobe"
    target: ClassVar[float] = 0.985  # unlike queries cost lists more recall than they cost graphs
    quantized: ClassVar[bool] = True
    raw: Any
    breadth: int = 0
    rows_a_list: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out how many rows a list that is searched holds: lists that hold more are searched more often."""
        rows = self.raw.invlists.imbalance_factor() * self.raw.ntotal / self.raw.nlist
        object.__setattr__(self, "rows_a_list", rows)

    def effort(self, rows: int, wanted: int, top_k: int, breadth: Breadth) -> Effort:
        """Return what finds the top_k of `wanted` rows, if these are spread evenly among all `rows`."""
        reach = MARGIN * min(top_k + SPARE, wanted)
        if breadth.asked:
            lists = math.ceil(breadth.least * math.sqrt(rows / wanted))
            visits, settled = lists, 0
        else:
            growth = rows / wanted * max(1.0, reach / USUAL_REACH)
            lists = math.ceil(max(breadth.least, self.breadth) * math.sqrt(growth))
            visits, settled = 3 * lists, math.ceil(min(top_k, wanted) * rows / wanted)
        # Not bounded by the number of lists: a breadth beyond it says that the lists are of no use, which must not look cheap.
        cost = self.raw.nlist + visits * self.rows_a_list + GATHERED * reach
        candidates = min(rows, math.ceil(reach * rows / wanted))
        return Effort(min(self.raw.nlist, lists), candidates, math.ceil(cost), settled)

    def nearest(self, queries: FloatMatrix, effort: Effort) -> Found:
        """Return the nearest rows, wanted or not."""
        lists = effort.breadth
        near, rows = self._visit(queries, effort, lists)
        unsettled = np.arange(len(queries) if effort.settled else 0)
        while lists < self.raw.nlist and len(unsettled):
            lists *= 2
            nearer, found = self._visit(queries[unsettled], effort, lists)
            last = _last(nearer, effort.settled)
            changed = last > _last(near[unsettled], effort.settled)
            near[unsettled], rows[unsettled] = nearer, found
            unsettled = unsettled[changed | np.isneginf(last)]
        return near, rows

    def breadths(self, rows: int) -> Iterator[int]:
        """Yield one list and more, as long as a search costs less than comparing with every row."""
        lists = 1
        yield lists
        while lists < self.raw.nlist:
            lists = min(self.raw.nlist, math.ceil(lists * WIDENING))
            if self.effort(rows, rows, NEIGHBOURS, Breadth(lists)).cost >= rows:
                return
            yield lists

    def _visit(self, queries: FloatMatrix, effort: Effort, lists: int) -> Found:
        parameters = faiss.SearchParametersIVF(nprobe=lists)  # type: ignore[call-arg]  # Faiss's stubs lack it
        return _found(self.raw, queries, effort, parameters)


SegmentIndex: TypeAlias = HnswGraph | InvertedLists
"""A Faiss index over the rows of a block. `name`: what a search through it is called in explanations; `parameter`: what its breadth is
called; `quantized`: whether the nearness it tells is approximate; `target`: the recall to calibrate for, so that 0.95 holds for queries a
little unlike the records."""


def segment_index(raw: Any, settings: IndexConfig, breadth: int) -> SegmentIndex:
    """Return what searches a Faiss index that was built with these settings."""
    if isinstance(settings, IvfIndex):
        return InvertedLists(raw, breadth)
    quantized = isinstance(settings, HnswIndex) and settings.quantization is not Quantization.NONE
    return HnswGraph(raw, quantized, breadth)


@lru_cache(256)
def _walk_parameters(ef: int) -> Any:
    """Return what tells Faiss the breadth of a walk; nobody changes it, and making one takes as long as a tenth of a walk."""
    return faiss.SearchParametersHNSW(efSearch=ef)  # type: ignore[attr-defined]  # Faiss's stubs lack it


def _last(near: Nearness, place: int) -> Nearness:
    """Return the nearness of the row in a place from the nearest one, 1 and up, for each query."""
    place = min(place, near.shape[1])
    return np.partition(near, near.shape[1] - place, axis=1)[:, near.shape[1] - place]


def _found(raw: Any, queries: FloatMatrix, effort: Effort, parameters: Any) -> Found:
    near, rows = raw.search(queries, effort.candidates, params=parameters)
    if raw.metric_type == faiss.METRIC_L2:
        near = -near
    near[rows < 0] = -np.inf
    return near, rows
