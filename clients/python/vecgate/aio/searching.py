"""Finding records."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here
# ruff: noqa: A002  # filter, all and set are the words of the API

from __future__ import annotations

from collections.abc import Sequence

from vecgate.aio.connection import AsyncConnected
from vecgate.batching import batch_bounds, batches
from vecgate.filters import Filter
from vecgate.records import IDS_ONLY, TEXT_AND_METADATA, Fields, FilteredQuery, Query, Truncation
from vecgate.results import RankedIds, SearchBatchResult, SearchResult, all_or_first_error
from vecgate.v1.search_pb2 import BatchQuery, SearchBatchRequest, SearchBatchResponse, SearchRequest
from vecgate.v1.search_pb2 import SearchOptions as SearchOptionsMessage
from vecgate.wire.outcomes import model_ref_from, timings_from
from vecgate.wire.search import (
    SearchOptions,
    batch_query_messages,
    options_message,
    outcomes_from,
    query_message,
    ranked_ids_from,
    search_result_from,
)


class AsyncSearching(AsyncConnected):
    """The client's methods that search."""

    async def search(
        self,
        collection: str,
        query: Query,
        *,
        top_k: int = 10,
        filter: Filter | str | None = None,
        score_threshold: float | None = None,
        fields: Fields = TEXT_AND_METADATA,
        exact: bool = False,
        ef: int | None = None,
        namespace: str = "",
        truncation: Truncation = "truncate",
        vector_fingerprint: str | None = None,
        explain: bool = False,
        consistency_token: str | None = None,
        timeout: float | None = None,
    ) -> SearchResult:
        """Find the nearest records to a query.

        Args:
            collection: the collection.
            query: text, encoded with the collection's model; ById(id), a stored record, itself left out; or a vector of
                shape (dimension,).
            top_k: matches at most, 1 to the server's max_top_k; if so many match, so many come.
            filter: only records that match; field("year") >= 2000, or the text form 'year >= 2000'.
            score_threshold: keep matches with at least this score, in the scale of Match.score.
            fields: which parts of the matches to return; IDS_ONLY for ids and scores.
            exact: compare with every record.
            ef: breadth of the walk of an HNSW index, 1 to 10,000; other indexes ignore it.
            namespace: the partition.
            truncation: of a query longer than the model reads: "truncate" (told in `encoded`) or "error".
            vector_fingerprint: what made the query vector; checked against the collection's model.
            explain: say in the result how it came about.
            consistency_token: of a write that this search must see.
            timeout: seconds.

        Raises:
            FailedPreconditionError: COLLECTION_UNBOUND for text; MODEL_MISMATCH.
            InvalidArgumentError: DIMENSION_MISMATCH, FILTER_SYNTAX, FILTER_TYPE, a value out of range.
            NotFoundError: COLLECTION_NOT_FOUND; RECORD_NOT_FOUND for ById.
        """
        options = SearchOptions(
            top_k=top_k,
            filter=filter,
            score_threshold=score_threshold,
            fields=fields,
            exact=exact,
            ef=ef,
            truncation=truncation,
            vector_fingerprint=vector_fingerprint,
            explain=explain,
            consistency_token=consistency_token,
        )
        request = SearchRequest(
            collection=collection,
            namespace=namespace,
            query=query_message(query),
            options=options_message(options),
        )
        response = await self._connection.call(
            self._connection.stub.Search,
            request,
            deadline=self._connection.deadlines.read,
            timeout=timeout,
        )
        model = model_ref_from(response.model) if response.HasField("model") else None
        return search_result_from(response.result, model, timings_from(response.timings))

    async def search_batch(
        self,
        collection: str,
        queries: Sequence[Query | FilteredQuery],
        *,
        top_k: int = 10,
        filter: Filter | str | None = None,
        score_threshold: float | None = None,
        fields: Fields = TEXT_AND_METADATA,
        exact: bool = False,
        ef: int | None = None,
        namespace: str = "",
        truncation: Truncation = "truncate",
        vector_fingerprint: str | None = None,
        explain: bool = False,
        consistency_token: str | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> SearchBatchResult:
        """Answer many queries; one that is bad fails alone.

        Any number of queries is cut into requests of a size the server takes.

        Args:
            collection: the collection.
            queries: at least one query as in search(), or the rows of a matrix; a FilteredQuery has a filter of its own.
            top_k: as in search(), like all that follow.
            filter: for the queries without one of their own.
            score_threshold: keep matches with at least this score.
            fields: which parts of the matches to return.
            exact: compare with every record.
            ef: breadth of the walk of an HNSW index.
            namespace: the partition.
            truncation: of queries longer than the model reads.
            vector_fingerprint: what made the query vectors.
            explain: say in each result how it came about.
            consistency_token: of a write that these searches must see.
            batch_size: queries of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Raises:
            InvalidArgumentError: an option is wrong, or a query is nothing that can be sent.
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        options = SearchOptions(
            top_k=top_k,
            filter=filter,
            score_threshold=score_threshold,
            fields=fields,
            exact=exact,
            ef=ef,
            truncation=truncation,
            vector_fingerprint=vector_fingerprint,
            explain=explain,
            consistency_token=consistency_token,
        )
        responses = await self._search_in_batches(
            collection, namespace, batch_query_messages(queries), options_message(options), batch_size, timeout
        )
        return SearchBatchResult(outcomes_from(responses, search_result_from))

    async def search_ids(
        self,
        collection: str,
        queries: Sequence[Query | FilteredQuery],
        *,
        top_k: int = 10,
        filter: Filter | str | None = None,
        score_threshold: float | None = None,
        exact: bool = False,
        ef: int | None = None,
        namespace: str = "",
        consistency_token: str | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> tuple[RankedIds, ...]:
        """Answer many queries with ids and scores alone, sent as columns: the cheapest way to search much.

        Args:
            collection: the collection.
            queries: at least one query as in search(), or the rows of a matrix; a FilteredQuery has a filter of its own.
            top_k: as in search(), like all that follow.
            filter: for the queries without one of their own.
            score_threshold: keep matches with at least this score.
            exact: compare with every record.
            ef: breadth of the walk of an HNSW index.
            namespace: the partition.
            consistency_token: of a write that these searches must see.
            batch_size: queries of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Returns:
            For each query, ids and float32 scores, nearest first.

        Raises:
            VecgateError: as search(); the first query's that failed.
        """
        options = SearchOptions(
            top_k=top_k,
            filter=filter,
            score_threshold=score_threshold,
            fields=IDS_ONLY,
            exact=exact,
            ef=ef,
            consistency_token=consistency_token,
        )
        responses = await self._search_in_batches(
            collection,
            namespace,
            batch_query_messages(queries),
            options_message(options, columns=True),
            batch_size,
            timeout,
        )
        return all_or_first_error(outcomes_from(responses, ranked_ids_from))

    async def _search_in_batches(
        self,
        collection: str,
        namespace: str,
        queries: Sequence[BatchQuery],
        options: SearchOptionsMessage,
        batch_size: int | None,
        timeout: float | None,
    ) -> list[SearchBatchResponse]:
        bounds = batch_bounds(await self._connection.limits(), batch_size)
        responses = []
        for batch in batches(queries, lambda query: query.ByteSize(), bounds):
            request = SearchBatchRequest(collection=collection, namespace=namespace, queries=batch, options=options)
            response = await self._connection.call(
                self._connection.stub.SearchBatch,
                request,
                deadline=self._connection.deadlines.bulk,
                timeout=timeout,
            )
            responses.append(response)
        return responses
