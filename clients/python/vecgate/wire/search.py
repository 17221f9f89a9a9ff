"""Queries and search options → messages; search answers ⇄ results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from vecgate.errors import InvalidArgumentError, VecgateError
from vecgate.filters import Filter
from vecgate.records import (
    IDS_ONLY,
    TEXT_AND_METADATA,
    BatchQuery,
    ById,
    Fields,
    Queries,
    Query,
    Rerank,
    Truncation,
)
from vecgate.results import ModelRef, Timings
from vecgate.search_results import Explanation, Match, RankedIds, Reranking, SearchResult
from vecgate.v1 import search_pb2
from vecgate.wire.choices import TRUNCATIONS, choose
from vecgate.wire.filters import optional_filter_message
from vecgate.wire.outcomes import encoded_from, error_from_item, model_ref_from, timings_from
from vecgate.wire.records import fields_message
from vecgate.wire.values import floats_from, metadata_from, vector_from, vector_message

Outcome = TypeVar("Outcome")


def options_message(
    *,
    columns: bool = False,
    top_k: int = 10,
    filter: Filter | str | None = None,  # noqa: A002  # the domain's word
    score_threshold: float | None = None,
    fields: Fields = TEXT_AND_METADATA,
    exact: bool = False,
    ef: int | None = None,
    nprobe: int | None = None,
    rerank: Rerank | None = None,
    truncation: Truncation = "truncate",
    vector_fingerprint: str | None = None,
    explain: bool = False,
    consistency_token: str | None = None,
) -> search_pb2.SearchOptions:
    """Translate vecgate.SearchOptions; with `columns` the answer is ids and scores only.

    Raises:
        InvalidArgumentError: at the option's path.
        TypeError: there is no such option.
    """
    if not 0 <= top_k < 2**32:
        raise InvalidArgumentError.at("options.top_k", f"{top_k} is out of range")
    return search_pb2.SearchOptions(
        filter=optional_filter_message(filter, "options.filter"),
        top_k=top_k,
        score_threshold=score_threshold,
        fields=fields_message(IDS_ONLY if columns else fields),
        layout=search_pb2.MATCH_LAYOUT_COLUMNS if columns else search_pb2.MATCH_LAYOUT_ROWS,
        explain=explain,
        parameters=search_pb2.SearchParameters(exact=exact, ef=ef, nprobe=nprobe),
        rerank=None if rerank is None else _rerank_message(rerank),
        truncation=choose(TRUNCATIONS, truncation, "options.truncation"),
        vector_fingerprint=vector_fingerprint,
        consistency_token=consistency_token,
    )


def _rerank_message(rerank: Rerank) -> search_pb2.Rerank:
    if rerank.depth is not None and not 0 <= rerank.depth < 2**32:
        raise InvalidArgumentError.at("options.rerank.depth", f"{rerank.depth} is out of range")
    return search_pb2.Rerank(model=rerank.model, depth=rerank.depth, query=rerank.query)


def query_message(query: Query, path: str = "query") -> search_pb2.Query:
    """Translate a query: text, a stored record, or a vector.

    Raises:
        InvalidArgumentError: at `path`: a vector that is not one row of real numbers.
    """
    if isinstance(query, str):
        return search_pb2.Query(text=query)
    if isinstance(query, ById):
        return search_pb2.Query(id=query.id)
    return search_pb2.Query(vector=vector_message(query, f"{path}.vector"))


def batch_query_messages(queries: Queries) -> list[search_pb2.BatchQuery]:
    """Translate the queries of a batch, or the rows of a matrix.

    Raises:
        InvalidArgumentError: there is none, one string was given, or as query_message, at the query's path.
    """
    if isinstance(queries, str | ById | BatchQuery):
        raise InvalidArgumentError.at("queries", "expected a sequence of queries, got one; write [query]")
    messages = [batch_query_message(query, f"queries[{index}]") for index, query in enumerate(queries)]
    if not messages:
        raise InvalidArgumentError.at("queries", "must not be empty")
    return messages


def outcomes_from(
    responses: Iterable[search_pb2.SearchBatchResponse],
    result_from: Callable[[search_pb2.SearchResult, ModelRef | None, Timings], Outcome],
) -> tuple[Outcome | VecgateError, ...]:
    """Translate the answers to the queries of one or more requests, in order; a query that failed gives its error."""
    outcomes: list[Outcome | VecgateError] = []
    for response in responses:
        outcomes += response_outcomes(
            response, range(len(outcomes), len(outcomes) + len(response.outcomes)), result_from
        )
    return tuple(outcomes)


def response_outcomes(
    response: search_pb2.SearchBatchResponse,
    places: Iterable[int],
    result_from: Callable[[search_pb2.SearchResult, ModelRef | None, Timings], Outcome],
) -> Iterator[Outcome | VecgateError]:
    """Translate the answers of one request; `places` are those of its queries among all that the caller handed in."""
    model = model_ref_from(response.model) if response.HasField("model") else None
    timings = timings_from(response.timings)
    for position, (place, outcome) in enumerate(zip(places, response.outcomes, strict=True)):
        if outcome.WhichOneof("outcome") == "error":
            yield error_from_item(outcome.error, sent_at=f"queries[{position}]", known_at=f"queries[{place}]")
        else:
            yield result_from(outcome.result, model, timings)


def search_result_from(message: search_pb2.SearchResult, model: ModelRef | None, timings: Timings) -> SearchResult:
    """Translate the answer to one query."""
    return SearchResult(
        matches=tuple(match_from(match) for match in message.matches),
        encoded=encoded_from(message.encoded) if message.HasField("encoded") else None,
        explanation=Explanation(message.explanation.plan, metadata_from(message.explanation.details))
        if message.HasField("explanation")
        else None,
        model=model if message.HasField("encoded") else None,
        timings=timings,
        reranking=_reranking_from(message),
    )


def match_from(message: search_pb2.Match) -> Match:
    """Translate one match."""
    return Match(
        id=message.id,
        score=message.score,
        text=message.text if message.HasField("text") else None,
        metadata=metadata_from(message.metadata),
        vector=vector_from(message.vector) if message.HasField("vector") else None,
        rerank_score=message.rerank_score if message.HasField("rerank_score") else None,
    )


def ranked_ids_from(message: search_pb2.SearchResult, _model: ModelRef | None, _timings: Timings) -> RankedIds:
    """Translate the answer to one query asked as columns."""
    reranking = _reranking_from(message)
    return RankedIds(
        tuple(message.columns.ids),
        floats_from(message.columns.packed_scores),
        floats_from(message.columns.packed_rerank_scores) if reranking and reranking.applied else None,
        reranking,
    )


def _reranking_from(message: search_pb2.SearchResult) -> Reranking | None:
    if not message.HasField("reranking"):
        return None
    told = message.reranking
    return Reranking(told.applied, told.reason, model_ref_from(told.model), told.scored_count, told.truncated_count)


def batch_query_message(query: Query | BatchQuery, path: str) -> search_pb2.BatchQuery:
    """Translate a query of a batch.

    Raises:
        InvalidArgumentError: as query_message, at `path`.
    """
    if isinstance(query, BatchQuery):
        return search_pb2.BatchQuery(
            query=query_message(query.query, f"{path}.query"),
            filter=optional_filter_message(query.filter, f"{path}.filter"),
            rerank_query=query.rerank_query,
        )
    return search_pb2.BatchQuery(query=query_message(query, f"{path}.query"))
