"""One search call: from the filter to a plan, to rankings, to hits with their records."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss.block import among
from vecgate_backends.faiss.company import Company
from vecgate_backends.faiss.filter_matches import FilterMatches
from vecgate_backends.faiss.gathering import Question, SearchGathering
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.reading import SlicedReader
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.search import Plan, Ranking, Step, make_plan, run_plan
from vecgate_backends.faiss.segment_index import NARROWEST_WALK, Breadth, Breadths
from vecgate_backends.faiss.threads import Threads
from vecgate_backends.filters import Filter
from vecgate_backends.records import CollectionSpec, FlatIndex, FloatMatrix, HnswIndex, IvfIndex, Record

INLINE_WORK = 16_000_000
"""Multiplications, rows x dimension x queries, up to which a search runs on the event loop, unless it shares its work: about 2 ms. A hop to
another thread and back costs more than a short search does, and two threads that both want the interpreter wait for each other."""
USUAL_BREADTHS = Breadths()
UNEXPLAINED = Explanation("")
INLINE_WORST_WORK = 80_000_000
"""The same if every walk starves, which few do: about 10 ms."""
SHARED_WORK = 2_000_000
"""Components of rows from all over a block, about 0.5 to 1.5 ms a query, from which on searches with the same filter compare them together,
each in a third of the time and less, on a thread that does nothing else: they wait for no long search, at most for a run of such searches in each
other collection."""
ALONE = 2
"""Times as much work does a search on the event loop that no other one came with."""
ATTEMPTS = 3
"""A search off the loop is repeated if a record it found was replaced or changed meanwhile; the last attempt holds the loop, and cannot fail."""


class Searcher:
    """Searches the partitions of one collection.

    Attributes:
        spec: its settings, which whoever changes them gives here.
    """

    def __init__(self, spec: CollectionSpec, reader: SlicedReader, threads: Threads) -> None:
        self.spec = spec
        self._reader = reader
        self._threads = threads
        self._matches = FilterMatches()
        self._gathering = SearchGathering(self, concurrent_runs=threads.search_threads)
        self._company = Company()
        self._sharing = SearchGathering(_Sharing(self, threads), concurrent_runs=1, company=self._company)

    async def search(self, partition: Partition, queries: FloatMatrix, options: SearchOptions) -> list[Hits]:
        """Return the hits of each query, shape (n, dimension), as the caller gave them."""
        prepared = index_form(self.spec.metric, queries)
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            self._threads.turns.searched()
            updates = partition.metadata_updates
            plan, rankings = await self._rankings(partition, prepared, options, inline=last)
            if options.fields.nothing:
                return _all_hits(plan, partition, rankings, None, options)
            wanted = list(dict.fromkeys(found for ranking in rankings for found in ranking.internal_ids))
            reading = partition.metadata_updates
            records = await self._reader.by_internal_id(wanted, options.fields, at_once=last)
            if len(records) == len(wanted) and self._still_pass(options.filter, partition, wanted, (updates, reading)):
                break
        return _all_hits(plan, partition, rankings, records, options)

    def _still_pass(
        self, node: Filter | None, partition: Partition, found: Sequence[int], updates: tuple[int, int]
    ) -> bool:
        """Tell whether versions pass a filter as they were read: an update of metadata keeps the version, which may not pass any more.

        Args:
            node: the filter.
            partition: that was searched.
            found: the versions.
            updates: of metadata that there had been when the search was planned, and when the reading began.
        """
        planned, reading = updates
        if node is None or partition.metadata_updates == planned:
            return True
        if partition.metadata_updates != reading:  # some were read before it, some after
            return False
        return bool(among(self._matches.of(node, repr(node), partition), np.array(found, np.int64)).all())

    def plan(self, question: Question) -> Plan:
        """Choose how the question is answered now."""
        partition, matching = question.partition, None
        if question.filter is not None:
            matching = self._matches.of(question.filter, question.filter_text, partition)
        return make_plan(partition.blocks(), matching, self.spec.metric, question.top_k, question.breadths)

    def run_alone(self, plan: Plan, query: FloatMatrix) -> Ranking | None:
        """Search for one query on the event loop; None if that takes too long."""
        return run_plan(plan, query)[0] if _is_short(plan, query, ALONE) else None

    async def run_aside(self, plan: Plan, queries: FloatMatrix) -> list[Ranking]:
        """Search for queries on as many threads as there is work for."""
        loop = asyncio.get_running_loop()
        parts = min(self._threads.search_threads, len(queries), math.ceil(plan.cost * queries.size / INLINE_WORK))
        found = await asyncio.gather(
            *(
                loop.run_in_executor(self._threads.searchers, run_plan, plan, part)
                for part in np.array_split(queries, max(1, parts))
            )
        )
        return [ranking for part in found for ranking in part]

    async def _rankings(
        self, partition: Partition, queries: FloatMatrix, options: SearchOptions, *, inline: bool
    ) -> tuple[Plan, Sequence[Ranking]]:
        question = Question(
            partition,
            options.top_k,
            _breadths(self.spec, options),
            options.filter,
            "" if options.filter is None else repr(options.filter),
        )
        plan = self.plan(question)
        shared = not inline and _is_shared(plan, queries) and self._company.expected(question)
        if inline or (_is_short(plan, queries) and not shared):
            return plan, run_plan(plan, queries)
        if len(queries) == 1:
            plan, ranking = await (self._sharing if shared else self._gathering).ask(question, queries)
            return plan, [ranking]
        return plan, await self.run_aside(plan, queries)


class _Sharing:
    """Runs searches that share their work; a Runner."""

    def __init__(self, searcher: Searcher, threads: Threads) -> None:
        self.plan = searcher.plan
        self._threads = threads

    def run_alone(self, plan: Plan, query: FloatMatrix) -> Ranking | None:
        """Leave it to the other thread, so that others may join meanwhile."""

    async def run_aside(self, plan: Plan, queries: FloatMatrix) -> list[Ranking]:
        """Search for queries together."""
        return await asyncio.get_running_loop().run_in_executor(self._threads.comparer, run_plan, plan, queries)


def _is_short(plan: Plan, queries: FloatMatrix, times: int = 1) -> bool:
    work, worst = plan.cost * queries.size, plan.worst_cost * queries.size
    return work <= times * INLINE_WORK and worst <= times * INLINE_WORST_WORK


def _is_shared(plan: Plan, queries: FloatMatrix) -> bool:
    """Tell whether a query that might run on the event loop is compared with the same rows as others in much less time together with them."""
    return len(queries) == 1 and plan.gathered * queries.size > SHARED_WORK and _is_short(plan, queries, ALONE)


def _breadths(spec: CollectionSpec, options: SearchOptions) -> Breadths | None:
    """Return how broadly the segments of a collection are searched, None for exactly.

    A flat collection is searched exactly, whatever its segments still are; what is asked of another kind of index than they have is
    ignored.
    """
    if options.exact or isinstance(spec.index, FlatIndex):
        return None
    ef, nprobe = USUAL_BREADTHS.ef, USUAL_BREADTHS.nprobe
    match spec.index:
        case HnswIndex(ef=int(least)) if least > NARROWEST_WALK:
            ef = Breadth(least)
        case IvfIndex(nprobe=int(least)):
            nprobe = Breadth(least)
    return Breadths(
        ef if options.ef is None else Breadth(options.ef, asked=True),
        nprobe if options.nprobe is None else Breadth(options.nprobe, asked=True),
    )


def _all_hits(
    plan: Plan,
    partition: Partition,
    rankings: Sequence[Ranking],
    records: dict[int, Record] | None,
    options: SearchOptions,
) -> list[Hits]:
    if not options.explain:
        return [_hits(ranking, records, options, UNEXPLAINED) for ranking in rankings]
    explained = cache(partial(_explain, plan, partition))  # the same for all that starved alike
    return [_hits(ranking, records, options, explained(ranking.starved)) for ranking in rankings]


def _hits(
    ranking: Ranking, records: dict[int, Record] | None, options: SearchOptions, explanation: Explanation
) -> Hits:
    kept = len(ranking.ids)
    if options.score_threshold is not None:
        kept = sum(score >= options.score_threshold for score in ranking.scores.tolist())
    return Hits(
        ranking.ids[:kept],
        ranking.scores[:kept],
        None if records is None else [records[found] for found in ranking.internal_ids[:kept]],
        explanation,
    )


def _explain(plan: Plan, partition: Partition, starved: int) -> Explanation:
    walks: dict[str, list[Step]] = defaultdict(list)
    breadths = {"ef": 0, "nprobe": 0}
    for step in plan.steps:
        if step.effort is not None and step.block.index is not None:
            walks[step.block.index.name].append(step)
            parameter = step.block.index.parameter
            breadths[parameter] = max(breadths[parameter], step.effort.breadth)
    exact = sum(step.count for step in plan.steps if step.effort is None)
    parts = [
        f"{name} over {sum(len(step.block) for step in steps)} records, segments: {len(steps)}"
        for name, steps in walks.items()
    ]
    if starved:
        parts.append(f"exact again over {starved} of them, where the walk found too few matches")
    if exact or not parts:
        parts.append(f"exact over {exact} records")
    return Explanation(
        "; ".join(parts),
        {
            "namespace_records": len(partition),
            "matching_records": sum(step.count for step in plan.steps),
            "segments": len(partition.segments),
            "head_records": partition.head.live,
            "exact_records": exact,
            "walked_segments": sum(map(len, walks.values())),
            "starved_walks": starved,
            "rebuild_under_way": partition.sealing or partition.rebuilding,
            **breadths,
        },
    )
