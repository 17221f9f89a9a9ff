"""SearchBatch: many queries in one call, each with a result or an error of its own."""

from __future__ import annotations

from vecgate.v1 import search_pb2 as wire
from vecgate_backends.answers import Hits
from vecgate_backends.errors import PreconditionError
from vecgate_server.call_clock import CallClock, call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.encoders.base import LongText, Models, Role
from vecgate_server.errors import LimitExceededError
from vecgate_server.service.model_rules import bound_encoder, check_vector_fingerprint, text_too_long
from vecgate_server.service.query_intake import QueryIntake
from vecgate_server.service.reranking import reranking
from vecgate_server.service.search import VECTOR_ONLY
from vecgate_server.service.search_plans import SearchPlans
from vecgate_server.status import item_error
from vecgate_server.translate.outcomes import encoded_text_to_wire, model_ref_to_wire, timings_to_wire
from vecgate_server.translate.search import SearchPlan, leave_out, search_result
from vecgate_server.validate import argument_rules
from vecgate_server.validate.vectors import encoded_faults


class SearchBatchHandlers:
    """Encodes all texts in one call and searches all queries with the same options in one call."""

    def __init__(self, directory: Directory, models: Models, limits: LimitSettings) -> None:
        self._directory = directory
        self._models = models
        self._limits = limits
        self._plans = SearchPlans(limits)

    async def search_batch(self, request: wire.SearchBatchRequest) -> wire.SearchBatchResponse:
        """Answer every query in the request's order."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        argument_rules.batch(request.queries, "queries", self._limits.max_batch)
        plan = self._plans.of(request.options)
        self._refuse_too_many_matches(len(request.queries), plan)
        located = await self._directory.collection(argument_rules.collection_name(request.collection))
        check_vector_fingerprint(plan.vector_fingerprint, located.spec, "options.vector_fingerprint")

        response = wire.SearchBatchResponse()
        intake = QueryIntake(request.queries, plan, located.spec, self._limits)
        await intake.check()
        async with reranking(self._models, plan.rerank, clock) as reranker:
            await self._encode_texts(intake, located, plan.long_text, response, clock)
            found = await _search(intake, located, namespace, plan)
            for row, fault in enumerate(intake.faults):
                if fault is not None:
                    response.outcomes.add(error=item_error(fault))
                    continue
                hits = found[row]
                ranking = await reranker.rank(intake.rerank_query(row), hits, plan.top_k) if reranker else None
                response.outcomes.add(result=search_result(hits, plan, intake.encoded.get(row), ranking))
        response.timings.CopyFrom(timings_to_wire(clock))
        return response

    def _refuse_too_many_matches(self, queries: int, plan: SearchPlan) -> None:
        each, most = plan.options.top_k, self._limits.max_matches
        if queries * each > most:
            raise LimitExceededError.at(
                "queries",
                f"has {queries} queries for {each} matches each, {queries * each} together; limits.max_matches is {most}",
            )

    async def _encode_texts(
        self,
        intake: QueryIntake,
        located: LocatedCollection,
        long_text: LongText,
        response: wire.SearchBatchResponse,
        clock: CallClock,
    ) -> None:
        rows = intake.rows("text")
        if not rows:
            return
        try:
            encoder = await bound_encoder(self._models, located.spec)
        except PreconditionError as fault:  # of text alone: queries by vector and id go on
            intake.fail(dict.fromkeys(rows, fault))
            return
        encoding = await encoder.encode(intake.texts(rows), Role.QUERY, long_text=long_text)
        clock.encoded(encoding.timings)
        response.model.CopyFrom(model_ref_to_wire(encoder.description))
        intake.vectors[rows] = encoding.vectors
        intake.encoded.update({row: encoded_text_to_wire(encoding, position) for position, row in enumerate(rows)})
        faults = encoded_faults(encoding.vectors, [f"queries[{row}].query.text" for row in rows], located.spec.metric)
        intake.fail({rows[at]: fault for at, fault in faults.items()})
        if long_text is LongText.REFUSE:
            intake.fail(
                {
                    row: text_too_long(f"queries[{row}].query.text", encoder.description)
                    for row, truncated in zip(rows, encoding.truncated, strict=True)
                    if truncated
                }
            )


async def _search(intake: QueryIntake, located: LocatedCollection, namespace: str, plan: SearchPlan) -> dict[int, Hits]:
    """Search what has no fault; return the hits by row, without the record that a query by id is."""
    stored = await _fetch_stored(intake, located, namespace, plan)
    found: dict[int, Hits] = {}
    for options, rows in intake.groups():
        hits = await located.collection.search(namespace, intake.vectors[rows], options)
        found.update(zip(rows, hits, strict=True))
    return {
        row: leave_out(hits, stored[row], plan.options.top_k) if row in stored else hits for row, hits in found.items()
    }


async def _fetch_stored(
    intake: QueryIntake, located: LocatedCollection, namespace: str, plan: SearchPlan
) -> dict[int, str]:
    """Fetch the vectors of queries by id; return these ids by row."""
    rows = intake.rows("id")
    ids = intake.ids(rows)
    if rows:
        token = plan.options.consistency_token
        # An id may come in several queries, and a read by ids wants each once.
        distinct = list(dict.fromkeys(ids))
        records = await located.collection.get(namespace, distinct, VECTOR_ONLY, consistency_token=token)
        by_id = dict(zip(distinct, records, strict=True))
        intake.take_stored(rows, [by_id[identifier] for identifier in ids])
    return dict(zip(rows, ids, strict=True))
