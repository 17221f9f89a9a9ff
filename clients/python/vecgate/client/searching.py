# Generated from vecgate/aio/searching.py by clients/python/generate_client.py; edit that file.
"""Finding records."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Unpack

from vecgate.batching import batches, query_bounds
from vecgate.begun_calls import BegunCall
from vecgate.channel import check_timeout
from vecgate.client.connection import Connected
from vecgate.errors import VecgateError
from vecgate.query_batches import (
    REQUESTS_UNDER_WAY,
    QueryBatch,
    QueryBatcher,
    QueryStream,
    check_queries,
    query_batches,
)
from vecgate.records import Queries, Query, SearchOptions
from vecgate.search_results import RankedIds, SearchBatchResult, SearchResult, all_or_first_error
from vecgate.v1 import search_pb2
from vecgate.wire.outcomes import model_ref_from, timings_from
from vecgate.wire.search import (
    batch_query_messages,
    options_message,
    outcomes_from,
    query_message,
    ranked_ids_from,
    search_result_from,
)


class Searching(Connected):
    """The client's methods that search."""

    def search(
        self,
        collection: str,
        query: Query,
        *,
        namespace: str = "",
        timeout: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchResult:
        """Find the nearest records to a query.

        >>> [match.id for match in client.search("docs", "Where is the kitten?", top_k=1)]
        ['cat']

        Args:
            collection: the collection.
            query: text, encoded with the collection's model; ById(id), a stored record, itself left out; or a vector of
                shape (dimension,).
            namespace: the partition.
            timeout: seconds.
            options: top_k, filter and so on; see vecgate.SearchOptions.

        Raises:
            FailedPreconditionError: COLLECTION_UNBOUND for text; MODEL_MISMATCH.
            InvalidArgumentError: DIMENSION_MISMATCH, FILTER_SYNTAX, FILTER_TYPE, a value out of range.
            NotFoundError: COLLECTION_NOT_FOUND; RECORD_NOT_FOUND for ById.
            TypeError: there is no such option.
        """
        request = search_pb2.SearchRequest(
            collection=collection,
            namespace=namespace,
            query=query_message(query),
            options=options_message(**options),
        )
        response = self._connection.read(self._connection.stub.Search, request, timeout)
        model = model_ref_from(response.model) if response.HasField("model") else None
        return search_result_from(response.result, model, timings_from(response.timings))

    def search_batch(
        self,
        collection: str,
        queries: Queries,
        *,
        namespace: str = "",
        batch_size: int | None = None,
        timeout: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchBatchResult:
        """Answer many queries, in requests of a size the server takes; a bad query fails alone.

        >>> batch = client.search_batch("docs", ["a kitten", "graphics cards"], top_k=1)
        >>> [result.matches[0].id for result in batch.results()]
        ['cat', 'gpu']

        Args:
            collection: the collection.
            queries: at least one query as in search(), or the rows of a matrix; a BatchQuery has choices of its own.
            namespace: the partition.
            batch_size: queries of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.
            options: for all of them, as in search().

        Raises:
            InvalidArgumentError: an option is wrong, or a query is nothing that can be sent.
            NotFoundError: COLLECTION_NOT_FOUND.
            TypeError: there is no such option.
        """
        request = search_pb2.SearchBatchRequest(
            collection=collection, namespace=namespace, options=options_message(**options)
        )
        responses = self._in_batches(request, batch_query_messages(queries), batch_size, timeout)
        return SearchBatchResult(outcomes_from(responses, search_result_from))

    def search_many(
        self,
        collection: str,
        queries: QueryStream,
        *,
        namespace: str = "",
        batch_size: int | None = None,
        timeout: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> Iterator[SearchResult | VecgateError]:
        """Answer any number of queries, read as the answers are: a few requests are under way at once, no more is held.

        >>> answers = client.search_many("docs", ["a kitten", "graphics cards"], top_k=1)
        >>> [answer.matches[0].id for answer in answers]
        ['cat', 'gpu']

        Args:
            collection: the collection.
            queries: as in search_batch(), without end if need be.
            namespace: the partition.
            batch_size: queries of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.
            options: for all of them, as in search().

        Yields:
            For each query, in order, its result, or the error of a query that failed alone.

        Raises:
            InvalidArgumentError: an option is wrong, or `queries` is one query.
            VecgateError: while it yields: a request as a whole failed, such as COLLECTION_NOT_FOUND.
            TypeError: there is no such option.
        """
        check_queries(queries)
        frame = search_pb2.SearchBatchRequest(
            collection=collection, namespace=namespace, options=options_message(**options)
        )
        seconds = check_timeout(self._connection.deadlines.bulk if timeout is None else timeout)
        return self._answers(queries, frame, batch_size, seconds)

    def search_ids(
        self,
        collection: str,
        queries: Queries,
        *,
        namespace: str = "",
        batch_size: int | None = None,
        timeout: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> tuple[RankedIds, ...]:
        """Answer many queries with ids and scores alone, sent as columns: the cheapest way to search much.

        >>> [row.ids for row in client.search_ids("docs", ["a kitten"], top_k=1)]
        [('cat',)]

        Args:
            collection: the collection.
            queries: as in search_batch().
            namespace: the partition.
            batch_size: queries of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.
            options: for all of them, as in search().

        Returns:
            For each query, ids and float32 scores, nearest first.

        Raises:
            VecgateError: as search(); the first query's that failed.
            TypeError: there is no such option.
        """
        request = search_pb2.SearchBatchRequest(
            collection=collection, namespace=namespace, options=options_message(columns=True, **options)
        )
        responses = self._in_batches(request, batch_query_messages(queries), batch_size, timeout)
        return all_or_first_error(outcomes_from(responses, ranked_ids_from))

    def _answers(
        self,
        queries: QueryStream,
        frame: search_pb2.SearchBatchRequest,
        batch_size: int | None,
        timeout: float,
    ) -> Iterator[SearchResult | VecgateError]:
        batcher = QueryBatcher(frame, query_bounds(self._connection.limits(), batch_size, frame.options))
        under_way: deque[tuple[QueryBatch, BegunCall[search_pb2.SearchBatchResponse] | None]] = deque()
        try:
            for batch in query_batches(queries, batcher):
                if len(under_way) == REQUESTS_UNDER_WAY:
                    for outcome in self._answer(*under_way.popleft(), timeout):
                        yield outcome
                method = self._connection.stub.SearchBatch
                call = None if batch.empty else self._connection.begin(method, batch.request, timeout)
                under_way.append((batch, call))
            while under_way:
                for outcome in self._answer(*under_way.popleft(), timeout):
                    yield outcome
        finally:
            for _, begun in under_way:
                if begun is not None:
                    begun.cancel()

    def _answer(
        self, batch: QueryBatch, call: BegunCall[search_pb2.SearchBatchResponse] | None, timeout: float
    ) -> Iterator[SearchResult | VecgateError]:
        if call is None:
            return batch.outcomes(search_pb2.SearchBatchResponse())
        response = self._connection.call(
            self._connection.stub.SearchBatch, batch.request, timeout, repeatable=True, begun=call
        )
        return batch.outcomes(response)

    def _in_batches(
        self,
        request: search_pb2.SearchBatchRequest,
        queries: Sequence[search_pb2.BatchQuery],
        batch_size: int | None,
        timeout: float | None,
    ) -> list[search_pb2.SearchBatchResponse]:
        bounds = query_bounds(self._connection.limits(), batch_size, request.options)
        responses = []
        for batch in batches(queries, lambda query: query.ByteSize(), bounds):
            del request.queries[:]
            request.queries.extend(batch)
            responses.append(
                self._connection.bulk(self._connection.stub.SearchBatch, request, timeout, repeatable=True)
            )
        return responses
