"""Searching one index: Pinecone finds, this side checks the filter again where it must and computes the scores.

Pinecone's scores are approximate (a cosine of 1.0011 was seen), so hits are read with their vectors and scored in float64.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.filters import matches
from vecgate_backends.memory.exact_scores import SCORES
from vecgate_backends.pinecone.filter_translation import Expression, Translation, translate
from vecgate_backends.pinecone.identifiers import id_hash
from vecgate_backends.pinecone.index_requests import MOST_MATCHES, IndexRequests
from vecgate_backends.pinecone.record_codec import HASH, StoredRecord
from vecgate_backends.pinecone.scan import Scanner
from vecgate_backends.pinecone.vector_codec import query_numbers, unfit
from vecgate_backends.records import FloatMatrix, FloatVector, Metric, Record

QUERIES_AT_ONCE = 8
WIDENING = 4
SCORED_AT_ONCE = 200
"""As many are scored on the event loop; more would hold it up, and go to a thread."""
_BY_SCAN = "read every record that matches and compared the query with each"
_BY_INDEX = "asked Pinecone's index and scored what it found from the stored vectors"


@dataclass(frozen=True, slots=True)
class _Found:
    """Records that match, with their score, and how they were found."""

    records: Sequence[StoredRecord]
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class _Nearest:
    """What a query found: the records, how many it returned, and whether they were read after it, when they may have changed."""

    records: Sequence[StoredRecord]
    returned: int
    later: bool


class Searcher:
    """Searches one collection."""

    def __init__(self, requests: IndexRequests, scanner: Scanner, metric: Metric) -> None:
        self._requests = requests
        self._scanner = scanner
        self._metric = metric

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> list[Hits]:
        """Answer each query; `namespace` is Pinecone's."""
        translation = translate(options.filter)
        if translation.nothing:
            return [
                self._hits(query, _Found([], Explanation("nothing can match the filter")), options) for query in queries
            ]
        everything = options.exact or options.top_k > MOST_MATCHES
        scanned = [everything or bool(unfit(query, self._metric)) for query in queries]
        every = await self._scan(namespace, options) if any(scanned) else None
        slots = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def answer(query: FloatVector, scan: bool) -> Hits:
            async with slots:
                found = every if scan else None
                if found is None:
                    found = await self._nearest(namespace, query, translation, options)
                if len(found.records) <= SCORED_AT_ONCE:
                    return self._hits(query, found, options)
                return await asyncio.to_thread(self._hits, query, found, options)

        return list(await asyncio.gather(*(answer(query, scan) for query, scan in zip(queries, scanned, strict=True))))

    async def _scan(self, namespace: str, options: SearchOptions) -> _Found:
        records = [record async for record in self._scanner.matching(namespace, options.filter)]
        return _Found(records, Explanation(_BY_SCAN, {"candidates": len(records)}))

    async def _nearest(
        self, namespace: str, query: FloatVector, translation: Translation, options: SearchOptions
    ) -> _Found:
        """Ask for more until enough of what comes back matches; if 10,000 are not enough, read everything."""
        numbers = query_numbers(query, self._metric)
        asked = options.top_k
        while True:
            found = await self._asked(namespace, numbers, asked, translation.expression)
            kept = [record for record in found.records if _matches(record, translation, options, recheck=found.later)]
            if len(kept) >= options.top_k or found.returned < asked:
                details = {"asked": asked, "returned": found.returned, "matching": len(kept)}
                return _Found(kept, Explanation(_BY_INDEX, details))
            if asked == MOST_MATCHES:
                return await self._scan(namespace, options)
            asked = min(asked * WIDENING, MOST_MATCHES)

    async def _asked(self, namespace: str, numbers: list[float], asked: int, expression: Expression | None) -> _Nearest:
        """Ask for the nearest with all they hold; or, where that does not fit an answer, for their ids, and read them after."""
        if asked <= self._requests.records_an_answer:
            try:
                answer = await self._requests.query(namespace, numbers, asked, expression)
            except InvalidArgumentError:
                if not self._requests.expect_fewer(asked):
                    raise
            else:
                return _Nearest(answer.matches, len(answer.matches), later=False)
        answer = await self._requests.query(namespace, numbers, asked, expression, whole=False)
        found = await self._whole(namespace, numbers, [match.vendor_id for match in answer.matches])
        return _Nearest(found, len(answer.matches), later=True)

    async def _whole(self, namespace: str, numbers: list[float], ids: Sequence[str]) -> Sequence[StoredRecord]:
        """Read many records, by queries again: a fetch may see an older state."""
        step = self._requests.records_an_answer
        slots = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def read(run: Sequence[str]) -> list[StoredRecord]:
            hashes = sorted({id_hash(vendor) for vendor in run})
            try:
                async with slots:
                    answer = await self._requests.query(namespace, numbers, len(run), {HASH: {"$in": hashes}})
            except InvalidArgumentError:
                if not self._requests.expect_fewer(len(run)):
                    raise
                middle = len(run) // 2
                return await read(run[:middle]) + await read(run[middle:])
            wanted = set(run)
            return [match for match in answer.matches if match.vendor_id in wanted]

        runs = [ids[start : start + step] for start in range(0, len(ids), step)]
        return [record for records in await asyncio.gather(*map(read, runs)) for record in records]

    def _hits(self, query: FloatVector, found: _Found, options: SearchOptions) -> Hits:
        """Score, sort, cut and project; equal scores are those equal as float32, since that is what the caller sees."""
        records = found.records
        if not records:
            nothing: list[Record] | None = None if options.fields.nothing else []
            return Hits([], np.empty(0, np.float32), nothing, found.explanation)
        vectors = np.stack([record.vector for record in records]).astype(np.float64)
        with np.errstate(over="ignore"):  # an inner product beyond float32 is infinite
            scores = SCORES[self._metric](query.astype(np.float64), vectors).astype(np.float32)
        seen = scores.tolist()
        ids = [record.id for record in records]
        order = sorted(range(len(records)), key=lambda row: (-seen[row], ids[row]))
        threshold = options.score_threshold
        kept = [row for row in order if threshold is None or seen[row] >= threshold][: options.top_k]
        fields = options.fields
        chosen = None if fields.nothing else [records[row].record(fields) for row in kept]
        return Hits([ids[row] for row in kept], scores[kept], chosen, found.explanation)


def _matches(record: StoredRecord, translation: Translation, options: SearchOptions, *, recheck: bool) -> bool:
    """Check the filter again where Pinecone's may let through too much, or where the record was read after it was found."""
    if options.filter is None or (translation.exact and not recheck):
        return True
    return matches(options.filter, record.metadata)
