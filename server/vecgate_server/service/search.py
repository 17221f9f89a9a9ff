"""Search."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vecgate.v1 import search_pb2 as wire
from vecgate.v1.model_pb2 import ModelRef
from vecgate.v1.outcome_pb2 import EncodedText
from vecgate_backends.errors import InvalidArgumentError, RecordNotFoundError
from vecgate_backends.records import Fields, FloatMatrix
from vecgate_server.call_clock import CallClock, call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.encoders.base import LongText, Models, Role
from vecgate_server.service.model_rules import bound_encoder, check_vector_fingerprint, text_too_long
from vecgate_server.service.reranking import reranking
from vecgate_server.service.search_plans import SearchPlans
from vecgate_server.translate.outcomes import encoded_text_to_wire, model_ref_to_wire, timings_to_wire
from vecgate_server.translate.search import SearchPlan, leave_out, search_result
from vecgate_server.validate import argument_rules
from vecgate_server.validate.vectors import encoded_faults, read_vector

VECTOR_ONLY = Fields(text=False, metadata=False, vector=True)


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query as a vector, shape (1, dimension), and how it came about."""

    vector: FloatMatrix
    encoded: EncodedText | None = None
    model: ModelRef | None = None
    stored_id: str | None = None


class SearchHandlers:
    """The nearest records to one query."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits
        self._plans = SearchPlans(limits)

    async def search(self, request: wire.SearchRequest) -> wire.SearchResponse:
        """Find the nearest records to a text, a vector or a stored record."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        plan = self._plans.of(request.options)
        argument_rules.text(request.query.text, "query.text", self._limits.max_text_bytes)
        located = await self._directory.collection(argument_rules.collection_name(request.collection))
        check_vector_fingerprint(plan.vector_fingerprint, located.spec, "options.vector_fingerprint")
        rerank_query = _rerank_query(request.query, plan)
        async with reranking(self._models, plan.rerank, clock) as reranker:
            query = await self._query_vector(request.query, located, namespace, plan, clock)
            options = plan.options
            if query.stored_id is not None:
                options = replace(options, top_k=options.top_k + 1)
            (hits,) = await located.collection.search(namespace, query.vector, options)
            clock.plan = hits.explanation.plan
            if query.stored_id is not None:
                hits = leave_out(hits, query.stored_id, plan.options.top_k)
            ranking = await reranker.rank(rerank_query, hits, plan.top_k) if reranker else None
        return wire.SearchResponse(
            result=search_result(hits, plan, query.encoded, ranking), model=query.model, timings=timings_to_wire(clock)
        )

    async def _query_vector(
        self, query: wire.Query, located: LocatedCollection, namespace: str, plan: SearchPlan, clock: CallClock
    ) -> QueryVector:
        match query.WhichOneof("input"):
            case "vector":
                spec = located.spec
                return QueryVector(
                    read_vector(query.vector, "query.vector", dimension=spec.dimension, metric=spec.metric)
                )
            case "text":
                return await self._encoded(query.text, located, plan.long_text, clock)
            case "id":
                return await _stored(query.id, located, namespace, plan.options.consistency_token)
            case _:
                raise InvalidArgumentError.at("query", "set one of text, vector and id")

    async def _encoded(
        self, text: str, located: LocatedCollection, long_text: LongText, clock: CallClock
    ) -> QueryVector:
        encoder = await bound_encoder(self._models, located.spec)
        encoding = await encoder.encode([text], Role.QUERY, long_text=long_text)
        clock.encoded(encoding.timings)
        if long_text is LongText.REFUSE and encoding.truncated[0]:
            raise text_too_long("query.text", encoder.description)
        for fault in encoded_faults(encoding.vectors, ["query.text"], located.spec.metric).values():
            raise fault
        return QueryVector(
            encoding.vectors, encoded=encoded_text_to_wire(encoding, 0), model=model_ref_to_wire(encoder.description)
        )


def _rerank_query(query: wire.Query, plan: SearchPlan) -> str:
    """Return the text that matches are scored against."""
    if plan.rerank is None or plan.rerank.query is None:
        if plan.rerank and query.WhichOneof("input") in {"vector", "id"}:
            raise InvalidArgumentError.at(
                "options.rerank.query", "is required: a query by vector or id has no text to score matches against"
            )
        return query.text
    return plan.rerank.query


async def _stored(identifier: str, located: LocatedCollection, namespace: str, token: str | None) -> QueryVector:
    argument_rules.record_id(identifier, "query.id")
    (record,) = await located.collection.get(namespace, [identifier], VECTOR_ONLY, consistency_token=token)
    if record is None or record.vector is None:
        raise RecordNotFoundError(f"query.id: there is no record {identifier!r} in this namespace")
    return QueryVector(record.vector.reshape(1, -1), stored_id=identifier)
