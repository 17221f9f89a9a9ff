"""Search options from the wire, and hits to it. Pure but for the refusal of options that make no sense."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vecgate.v1 import search_pb2 as wire
from vecgate.v1.outcome_pb2 import EncodedText
from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import IDS_ONLY, FloatVector, Record
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.base import LongText
from vecgate_server.errors import NotYetError
from vecgate_server.translate.enums import MATCHES_AS_COLUMNS, TRUNCATION_ON_READ
from vecgate_server.translate.filters import filter_from_wire
from vecgate_server.translate.metadata import metadata_to_wire, value_to_wire
from vecgate_server.translate.records import ReturnFields, return_fields
from vecgate_server.translate.vectors import floats_to_bytes, vector_to_wire
from vecgate_server.validate import argument_rules

DEFAULT_TOP_K = 10
DEFAULT_RERANK_DEPTH = 50
"""Cross-encoders are commonly given 50 to 100 passages: the best one is seldom farther behind."""
NOT_YET: Mapping[str, str] = {
    "hybrid": "this version has no keyword search",
    "diversity": "this version does not diversify",
    "grouping": "this version does not group",
}
"""Field of SearchOptions → why it is refused."""


@dataclass(frozen=True, slots=True)
class RerankChoice:
    """How matches are to be scored again: by which cross-encoder, how many, against which text (None: the query's own)."""

    model: str
    depth: int
    query: str | None


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """All that a request says about a search beside its query: what the backend is told, and how to answer.

    Attributes:
        options: what the backend is told; for reranking it finds more matches than are answered, with their texts.
        top_k: matches that are answered at most.
        with_text: whether matches carry their text.
    """

    options: SearchOptions
    top_k: int
    with_text: bool
    as_columns: bool
    as_floats: bool
    explain: bool
    long_text: LongText
    vector_fingerprint: str | None
    rerank: RerankChoice | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What came of reranking the hits of one query.

    Attributes:
        hits: in their new order, at most top_k; in the search's own if they were not reranked.
        scores: float32, shape (hits,), NaN for those not scored; None if they were not reranked.
        reranking: what the answer tells.
    """

    hits: Hits
    scores: FloatVector | None
    reranking: wire.Reranking


def search_plan(message: wire.SearchOptions, path: str, limits: LimitSettings) -> SearchPlan:
    """Read the options of a search.

    Raises:
        NotYetError: a field of a later version is set.
        InvalidArgumentError: a value is wrong, with its path.
    """
    for field, reason in NOT_YET.items():
        if message.HasField(field):
            raise NotYetError(f"{path}.{field}: {reason}")
    as_columns = argument_rules.choice(message.layout, MATCHES_AS_COLUMNS, f"{path}.layout")
    chosen = _fields(message, as_columns, f"{path}.fields")
    top_k = argument_rules.count_up_to(
        message.top_k if message.HasField("top_k") else None,
        f"{path}.top_k",
        "max_top_k",
        limits.max_top_k,
        default=DEFAULT_TOP_K,
    )
    rerank = _rerank(message.rerank, top_k, f"{path}.rerank", limits) if message.HasField("rerank") else None
    options = SearchOptions(
        top_k=max(top_k, rerank.depth) if rerank else top_k,
        filter=filter_from_wire(message.filter, f"{path}.filter", limits) if message.HasField("filter") else None,
        score_threshold=_threshold(message, f"{path}.score_threshold"),
        fields=replace(chosen.fields, text=True) if rerank else chosen.fields,
        # A write that stored nothing has an empty token, and every read has seen it.
        consistency_token=message.consistency_token or None,
        explain=message.explain,
    )
    return SearchPlan(
        options=_with_parameters(options, message.parameters, f"{path}.parameters"),
        top_k=top_k,
        with_text=chosen.fields.text,
        as_columns=as_columns,
        as_floats=chosen.as_floats,
        explain=message.explain,
        long_text=argument_rules.choice(message.truncation, TRUNCATION_ON_READ, f"{path}.truncation"),
        vector_fingerprint=message.vector_fingerprint if message.HasField("vector_fingerprint") else None,
        rerank=rerank,
    )


def search_result(
    hits: Hits, plan: SearchPlan, encoded: EncodedText | None, ranking: Ranking | None = None
) -> wire.SearchResult:
    """Write the answer to one query: its hits, or what reranking made of them."""
    scores: FloatVector | None = None
    result = wire.SearchResult(encoded=encoded)
    if ranking is not None:
        hits, scores = ranking.hits, ranking.scores
        result.reranking.CopyFrom(ranking.reranking)
    if plan.explain:
        result.explanation.CopyFrom(_explanation(hits.explanation))
    if plan.as_columns:
        result.columns.ids.extend(hits.ids)
        result.columns.packed_scores = floats_to_bytes(hits.scores)
        result.columns.packed_rerank_scores = b"" if scores is None else floats_to_bytes(scores)
    else:
        result.matches.extend(_matches(hits, plan))
    if scores is not None:
        for match, score in zip(result.matches, scores.tolist(), strict=False):  # no matches where they are columns
            if not math.isnan(score):
                match.rerank_score = score
    return result


def leave_out(hits: Hits, identifier: str, top_k: int) -> Hits:
    """Take one record out of the hits, and keep at most top_k."""
    return chosen_hits(hits, [row for row, found in enumerate(hits.ids) if found != identifier][:top_k])


def chosen_hits(hits: Hits, rows: Sequence[int]) -> Hits:
    """Take some hits, in the order of `rows`."""
    return Hits(
        ids=[hits.ids[row] for row in rows],
        scores=hits.scores[list(rows)],
        records=None if hits.records is None else [hits.records[row] for row in rows],
        explanation=hits.explanation,
    )


def _rerank(message: wire.Rerank, top_k: int, path: str, limits: LimitSettings) -> RerankChoice:
    if not message.model:
        raise InvalidArgumentError.at(f"{path}.model", "is required")
    depth = argument_rules.count_up_to(
        message.depth if message.HasField("depth") else None,
        f"{path}.depth",
        "max_top_k",
        limits.max_top_k,
        default=max(top_k, DEFAULT_RERANK_DEPTH),
    )
    query = None
    if message.HasField("query"):
        query = argument_rules.text(message.query, f"{path}.query", limits.max_text_bytes)
    return RerankChoice(message.model, depth, query)


def _fields(message: wire.SearchOptions, as_columns: bool, path: str) -> ReturnFields:
    chosen = return_fields(message.fields if message.HasField("fields") else None, path)
    if not as_columns:
        return chosen
    if message.HasField("fields") and not chosen.fields.nothing:
        raise InvalidArgumentError.at(path, "columns carry ids and scores only; leave it out")
    return replace(chosen, fields=IDS_ONLY)


def _threshold(message: wire.SearchOptions, path: str) -> float | None:
    return argument_rules.finite(message.score_threshold, path) if message.HasField("score_threshold") else None


def _with_parameters(options: SearchOptions, message: wire.SearchParameters, path: str) -> SearchOptions:
    if not message.ByteSize():
        return options
    return replace(
        options,
        exact=message.exact,
        ef=argument_rules.within(message.ef, f"{path}.ef", 1, 10_000) if message.HasField("ef") else None,
        nprobe=argument_rules.within(message.nprobe, f"{path}.nprobe", 1, 65_536)
        if message.HasField("nprobe")
        else None,
    )


def _matches(hits: Hits, plan: SearchPlan) -> Iterator[wire.Match]:
    scores = hits.scores.tolist()
    if hits.records is None:
        return (wire.Match(id=found, score=score) for found, score in zip(hits.ids, scores, strict=True))
    return (_match(record, score, plan) for record, score in zip(hits.records, scores, strict=True))


def _match(record: Record, score: float, plan: SearchPlan) -> wire.Match:
    return wire.Match(
        id=record.id,
        score=score,
        text=record.text if plan.with_text else None,
        metadata=metadata_to_wire(record.metadata),
        vector=None if record.vector is None else vector_to_wire(record.vector, as_floats=plan.as_floats),
    )


def _explanation(explanation: Explanation) -> wire.Explanation:
    return wire.Explanation(
        plan=explanation.plan, details={key: value_to_wire(value) for key, value in explanation.details.items()}
    )
