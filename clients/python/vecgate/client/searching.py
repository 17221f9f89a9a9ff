# Generated from vecgate/aio/searching.py by clients/python/generate_client.py; edit that file.
"""Finding records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from vecgate.batching import batch_bounds, batches
from vecgate.client.connection import Connected
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

    def _in_batches(
        self,
        request: search_pb2.SearchBatchRequest,
        queries: Sequence[search_pb2.BatchQuery],
        batch_size: int | None,
        timeout: float | None,
    ) -> list[search_pb2.SearchBatchResponse]:
        bounds = batch_bounds(self._connection.limits(), batch_size)
        responses = []
        for batch in batches(queries, lambda query: query.ByteSize(), bounds):
            del request.queries[:]
            request.queries.extend(batch)
            responses.append(self._connection.bulk(self._connection.stub.SearchBatch, request, timeout))
        return responses
