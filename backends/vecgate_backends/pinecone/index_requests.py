"""The requests a collection makes of its index, in types of ours, each no larger than Pinecone takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import numpy as np
from pinecone import AsyncIndex

from vecgate_backends.errors import CollectionNotFoundError, MissingError
from vecgate_backends.pinecone.connection import Caller
from vecgate_backends.pinecone.filter_translation import Expression
from vecgate_backends.pinecone.identifiers import own_namespace
from vecgate_backends.pinecone.record_codec import EVERY_RECORD, MOST_METADATA_BYTES, EncodedRecord, StoredRecord

MOST_MATCHES = 10_000
MOST_IDS_A_DELETE = 1_000
MOST_IDS_A_LIST_PAGE = 100
MOST_RECORDS_A_SCAN_PAGE = 10_000
MOST_ANSWER_BYTES = 4_000_000
MOST_IDS_A_FETCH = 100
MOST_FETCH_URL_BYTES = 6_000
FETCHES_AT_ONCE = 4
_VALUE_BYTES = 22
_RECORD_BYTES = MOST_METADATA_BYTES + 1_200
_USUAL_RECORD_BYTES = 4_096
"""Few records have more text and metadata than this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The matches of a query, best first, and up to which write it sees; None if Pinecone did not say."""

    matches: Sequence[StoredRecord]
    seen: int | None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records, and the token of the next page."""

    records: Sequence[StoredRecord]
    following: str | None


@dataclass(frozen=True, slots=True)
class IdPage:
    """Ids of Pinecone's, and the token of the next page."""

    ids: Sequence[str]
    following: str | None


class IndexRequests:
    """One index. Namespaces and ids are Pinecone's own; errors are ours."""

    def __init__(self, index: AsyncIndex, caller: Caller, dimension: int) -> None:
        self._index = index
        self._caller = caller
        self._surely = max(1, MOST_ANSWER_BYTES // (_RECORD_BYTES + _VALUE_BYTES * dimension))
        """As many whole records fit an answer whatever they hold."""
        self.records_an_answer = max(1, MOST_ANSWER_BYTES // (_USUAL_RECORD_BYTES + _VALUE_BYTES * dimension))
        """As many whole records are expected to fit the answer to a query."""

    async def close(self) -> None:
        """Close the connections."""
        await self._index.close()

    def expect_fewer(self, refused: int) -> bool:
        """Note that a query for `refused` whole records was refused, as those are whose answers are too large; False if theirs cannot be."""
        if refused <= self._surely:
            return False
        self.records_an_answer = max(self._surely, min(self.records_an_answer, refused // 2))
        return True

    async def upsert(self, namespace: str, records: Sequence[EncodedRecord]) -> int:
        """Write records, and return the number of the write; 0 if Pinecone did not say."""
        vectors = [{"id": record.id, "values": record.values, "metadata": record.metadata} for record in records]
        return await self.upsert_vectors(namespace, vectors)

    async def upsert_vectors(self, namespace: str, vectors: Sequence[Mapping[str, Any]]) -> int:
        """Write vectors of Pinecone's form; as upsert."""
        answer = await self._ask(lambda: self._index.upsert(vectors=list(vectors), namespace=namespace))
        info = answer.response_info
        return (info.lsn_committed if info else None) or 0

    async def query(
        self, namespace: str, numbers: list[float], top_k: int, expression: Expression | None, *, whole: bool = True
    ) -> Answer:
        """Find the nearest; the matches have values and metadata if `whole`."""
        answer = await self._ask(
            lambda: self._index.query(
                top_k=top_k,
                vector=numbers,
                filter=expression,
                namespace=namespace,
                include_values=whole,
                include_metadata=whole,
            )
        )
        matches = [_stored(match.id, match) for match in answer.matches]
        return Answer(matches, answer.response_info.lsn_reconciled if answer.response_info else None)

    async def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, StoredRecord]:
        """Read records by id; what is not there is left out."""
        slots = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def read(chunk: list[str]) -> dict[str, Any]:
            async with slots:
                answer = await self._ask(lambda: self._index.fetch(ids=chunk, namespace=namespace))
                vectors: dict[str, Any] = answer.vectors
                return vectors

        runs = _fetchable(list(dict.fromkeys(ids)), min(MOST_IDS_A_FETCH, self._surely))
        answers = await asyncio.gather(*map(read, runs))
        return {name: _stored(name, vector) for vectors in answers for name, vector in vectors.items()}

    async def page(self, namespace: str, expression: Expression | None, token: str | None, limit: int) -> RecordPage:
        """Read a page of the records that pass a filter; it may hold fewer than `limit` though more follow."""
        answer = await self._ask(
            lambda: self._index.fetch_by_metadata(
                filter=expression or EVERY_RECORD,
                namespace=namespace,
                limit=min(limit, MOST_RECORDS_A_SCAN_PAGE),
                pagination_token=token,
            )
        )
        records = [_stored(name, vector) for name, vector in answer.vectors.items()]
        return RecordPage(records, answer.pagination.next if answer.pagination else None)

    async def id_page(self, namespace: str, token: str | None, limit: int) -> IdPage:
        """Read a page of ids."""
        answer = await self._ask(
            lambda: self._index.list_paginated(
                namespace=namespace, limit=min(limit, MOST_IDS_A_LIST_PAGE), pagination_token=token
            )
        )
        ids = [item.id for item in answer.vectors if item.id]
        return IdPage(ids, answer.pagination.next if answer.pagination else None)

    async def delete(self, namespace: str, ids: Sequence[str]) -> None:
        """Remove records by id, in order; absent ones do not matter."""
        for start in range(0, len(ids), MOST_IDS_A_DELETE):
            chunk = list(ids[start : start + MOST_IDS_A_DELETE])
            await self._delete(namespace, ids=chunk)

    async def delete_all(self, namespace: str) -> None:
        """Remove every record of a namespace."""
        await self._delete(namespace, delete_all=True)

    async def counts(self) -> dict[str, int]:
        """Return the records of each namespace of the collection, by its own name, as Pinecone's statistics tell."""
        answer = await self._ask(self._index.describe_index_stats)
        named = {own_namespace(name): summary.vector_count for name, summary in answer.namespaces.items()}
        return {name: count for name, count in sorted(named.items(), key=str) if name is not None and count}

    async def _delete(self, namespace: str, **what: Any) -> None:
        try:
            await self._caller.call(lambda: self._index.delete(namespace=namespace, **what))
        except MissingError:
            return  # so Pinecone says of a namespace that holds nothing

    async def _ask(self, request: Any) -> Any:
        try:
            return await self._caller.call(request)
        except MissingError as missing:
            raise CollectionNotFoundError("the collection's index is gone from Pinecone") from missing


def _stored(name: str, vector: Any) -> StoredRecord:
    """Keep a vector of the SDK's as float32 at once: its list of Python numbers takes eight times the memory."""
    return StoredRecord(name, np.array(vector.values or [], np.float32), vector.metadata or {})


def _fetchable(ids: Sequence[str], most: int) -> Sequence[list[str]]:
    """Cut ids into runs whose address is short enough, since a fetch carries them there."""
    runs: list[list[str]] = []
    size = 0
    for name in ids:
        length = len(quote_plus(name)) + len("&ids=")
        if not runs or len(runs[-1]) == most or size + length > MOST_FETCH_URL_BYTES:
            runs.append([])
            size = 0
        runs[-1].append(name)
        size += length
    return runs
