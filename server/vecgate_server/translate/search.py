"""Search options from the wire, and hits to it. Pure but for the refusal of options that make no sense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from vecgate.v1 import search_pb2 as wire
from vecgate.v1.outcome_pb2 import EncodedText
from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import IDS_ONLY, Record
from vecgate_server.config import LimitSettings
from vecgate_server.encoders.base import LongText
from vecgate_server.errors import NotYetError
from vecgate_server.translate.enums import MATCHES_AS_COLUMNS, TRUNCATION_ON_READ
from vecgate_server.translate.filters import filter_from_wire
from vecgate_server.translate.metadata import metadata_to_wire, value_to_wire
from vecgate_server.translate.records import return_fields
from vecgate_server.translate.vectors import floats_to_bytes, vector_to_wire
from vecgate_server.validate import argument_rules

DEFAULT_TOP_K = 10
NOT_YET: Mapping[str, str] = {
    "rerank": "this version has no cross-encoders",
    "hybrid": "this version has no keyword search",
    "diversity": "this version does not diversify",
    "grouping": "this version does not group",
}
"""Field of SearchOptions → why it is refused."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """All that a request says about a search beside its query: what the backend is told, and how to answer."""

    options: SearchOptions
    as_columns: bool
    as_floats: bool
    explain: bool
    long_text: LongText
    vector_fingerprint: str | None


def search_plan(message: wire.SearchOptions, path: str, limits: LimitSettings) -> SearchPlan:
    """Read the options of a search.

    Raises:
        NotYetError: a field of a later version is set.
        InvalidArgumentError: a value is wrong, with its path.
    """
    for field, reason in NOT_YET.items():
        if message.HasField(field):
            raise NotYetError(f"{path}.{field}: {reason}")
    chosen = return_fields(message.fields if message.HasField("fields") else None, f"{path}.fields")
    as_columns = argument_rules.choice(message.layout, MATCHES_AS_COLUMNS, f"{path}.layout")
    if as_columns:
        if message.HasField("fields") and not chosen.fields.nothing:
            raise InvalidArgumentError.at(f"{path}.fields", "columns carry ids and scores only; leave it out")
        chosen = replace(chosen, fields=IDS_ONLY)
    options = SearchOptions(
        top_k=argument_rules.count_up_to(
            message.top_k if message.HasField("top_k") else None,
            f"{path}.top_k",
            "max_top_k",
            limits.max_top_k,
            default=DEFAULT_TOP_K,
        ),
        filter=filter_from_wire(message.filter, f"{path}.filter", limits) if message.HasField("filter") else None,
        score_threshold=_threshold(message, f"{path}.score_threshold"),
        fields=chosen.fields,
        # A write that stored nothing has an empty token, and every read has seen it.
        consistency_token=message.consistency_token or None,
    )
    return SearchPlan(
        options=_with_parameters(options, message.parameters, f"{path}.parameters"),
        as_columns=as_columns,
        as_floats=chosen.as_floats,
        explain=message.explain,
        long_text=argument_rules.choice(message.truncation, TRUNCATION_ON_READ, f"{path}.truncation"),
        vector_fingerprint=message.vector_fingerprint if message.HasField("vector_fingerprint") else None,
    )


def search_result(hits: Hits, plan: SearchPlan, encoded: EncodedText | None) -> wire.SearchResult:
    """Write the answer to one query."""
    explanation = _explanation(hits.explanation) if plan.explain else None
    if plan.as_columns:
        columns = wire.MatchColumns(ids=hits.ids, packed_scores=floats_to_bytes(hits.scores))
        return wire.SearchResult(columns=columns, encoded=encoded, explanation=explanation)
    return wire.SearchResult(matches=_matches(hits, plan), encoded=encoded, explanation=explanation)


def leave_out(hits: Hits, identifier: str, top_k: int) -> Hits:
    """Take one record out of the hits, and keep at most top_k."""
    ids = list(hits.ids)
    drop = ids.index(identifier) if identifier in ids else len(ids)
    keep = [position for position in range(len(ids)) if position != drop][:top_k]
    return Hits(
        ids=[ids[position] for position in keep],
        scores=hits.scores[keep],
        records=None if hits.records is None else [hits.records[position] for position in keep],
        explanation=hits.explanation,
    )


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
    return (_match(record, score, as_floats=plan.as_floats) for record, score in zip(hits.records, scores, strict=True))


def _match(record: Record, score: float, *, as_floats: bool) -> wire.Match:
    return wire.Match(
        id=record.id,
        score=score,
        text=record.text,
        metadata=metadata_to_wire(record.metadata),
        vector=None if record.vector is None else vector_to_wire(record.vector, as_floats=as_floats),
    )


def _explanation(explanation: Explanation) -> wire.Explanation:
    return wire.Explanation(
        plan=explanation.plan, details={key: value_to_wire(value) for key, value in explanation.details.items()}
    )
