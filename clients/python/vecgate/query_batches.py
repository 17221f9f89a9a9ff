"""Queries of any number → requests of fitting size, lazily, and their answers in order."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from vecgate.batching import BatchBounds, Batcher
from vecgate.errors import InvalidArgumentError, VecgateError
from vecgate.records import BatchQuery, ById, Query
from vecgate.search_results import SearchResult
from vecgate.v1 import search_pb2
from vecgate.wire.search import batch_query_message, response_outcomes, search_result_from

REQUESTS_UNDER_WAY = 4
"""Requests that search_many() has under way at once: one is answered, one is worked on, and two wait, so that neither side does."""

QueryStream: TypeAlias = Iterable[Query | BatchQuery]
AsyncQueryStream: TypeAlias = Iterable[Query | BatchQuery] | AsyncIterable[Query | BatchQuery]


@dataclass(frozen=True, slots=True)
class PlacedQuery:
    """A query and its place among all: its message, or why it cannot be sent."""

    place: int
    message: search_pb2.BatchQuery | InvalidArgumentError

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return 0 if isinstance(self.message, InvalidArgumentError) else self.message.ByteSize()


class QueryBatch:
    """Queries that go out together."""

    def __init__(self, queries: list[PlacedQuery], frame: search_pb2.SearchBatchRequest) -> None:
        self._queries = queries
        self._sent: list[int] = []
        self.request = search_pb2.SearchBatchRequest()
        self.request.CopyFrom(frame)
        for query in queries:
            if not isinstance(query.message, InvalidArgumentError):
                self._sent.append(query.place)
                self.request.queries.append(query.message)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send, since none of the queries can be."""
        return not self._sent

    def outcomes(self, response: search_pb2.SearchBatchResponse) -> Iterator[SearchResult | VecgateError]:
        """Yield what became of each query, in order."""
        answers = response_outcomes(response, self._sent, search_result_from)
        for query in self._queries:
            yield query.message if isinstance(query.message, InvalidArgumentError) else next(answers)


class QueryBatcher:
    """Takes queries one by one and gives out requests.

    Args:
        frame: a request without queries.
        bounds: how large a request may get.
    """

    def __init__(self, frame: search_pb2.SearchBatchRequest, bounds: BatchBounds) -> None:
        self._frame = frame
        self._bounds = bounds.beside(frame.ByteSize())
        self._batcher = Batcher[PlacedQuery](lambda query: query.size, self._bounds)
        self._count = 0

    def add(self, query: Query | BatchQuery) -> Iterator[QueryBatch]:
        """Take a query, and yield the requests that it completes."""
        placed = PlacedQuery(self._count, self._message(query))
        self._count += 1
        for queries in self._batcher.add(placed):
            yield QueryBatch(queries, self._frame)

    def rest(self) -> Iterator[QueryBatch]:
        """Yield the request that is begun, if one is."""
        for queries in self._batcher.rest():
            yield QueryBatch(queries, self._frame)

    def _message(self, query: Query | BatchQuery) -> search_pb2.BatchQuery | InvalidArgumentError:
        path = f"queries[{self._count}]"
        try:
            message = batch_query_message(query, path)
        except InvalidArgumentError as unsendable:
            return unsendable
        size = message.ByteSize()
        if size > self._bounds.max_bytes:
            words = f"{size:,} bytes; the server takes {self._bounds.max_bytes:,} in one message"
            return InvalidArgumentError.at(path, words, reason="LIMIT_EXCEEDED")
        return message


def check_queries(queries: object) -> None:
    """Refuse what is one query, or nothing to iterate over.

    Raises:
        InvalidArgumentError: it is.
    """
    if isinstance(queries, str | ById | BatchQuery) or not isinstance(queries, Iterable | AsyncIterable):
        raise InvalidArgumentError.at("queries", f"expected an iterable of queries, got {type(queries).__name__}")


def query_batches(queries: QueryStream, batcher: QueryBatcher) -> Iterator[QueryBatch]:
    """Yield requests as queries come."""
    for query in queries:
        yield from batcher.add(query)
    yield from batcher.rest()


async def async_query_batches(queries: AsyncQueryStream, batcher: QueryBatcher) -> AsyncIterator[QueryBatch]:
    """Yield requests as queries come, from either kind of iterable."""
    if isinstance(queries, AsyncIterable):
        async for query in queries:
            for batch in batcher.add(query):
                yield batch
        for batch in batcher.rest():
            yield batch
    else:
        for batch in query_batches(queries, batcher):
            yield batch
