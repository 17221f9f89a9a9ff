"""Reranking the hits of a search with a cross-encoder, within the call's deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np

from vecgate.v1 import search_pb2 as wire
from vecgate.v1.model_pb2 import ModelRef
from vecgate_backends.answers import Hits
from vecgate_server.call_clock import CallClock
from vecgate_server.deadline import seconds_to_answer
from vecgate_server.encoders.base import CrossEncoder, EncodeTimings, Models, PairScores
from vecgate_server.service.model_rules import named_cross_encoder
from vecgate_server.translate.outcomes import model_ref_to_wire
from vecgate_server.translate.search import Ranking, RerankChoice, chosen_hits

TOO_LATE = "the call's deadline came first"
NO_TEXTS = "none of the first matches has a text"


@asynccontextmanager
async def reranking(models: Models, choice: RerankChoice | None, clock: CallClock) -> AsyncIterator[Reranker | None]:
    """Look the cross-encoder up before any work, and let it load while the search goes on; None without a choice.

    Raises:
        ModelNotFoundError, ModelKindError: there is no such cross-encoder.
    """
    if choice is None:
        yield None
        return
    lookup = asyncio.ensure_future(named_cross_encoder(models, choice.model, "options.rerank.model"))
    try:
        # A wrong name is known at once; a load may take longer than the caller waits.
        await asyncio.wait({lookup}, timeout=0)
        if lookup.done():
            lookup.result()
        yield Reranker(lookup, choice, clock)
    finally:
        lookup.cancel()
        await asyncio.gather(lookup, return_exceptions=True)


class Reranker:
    """Ranks the hits of one call's queries, one query after another: what the deadline lets through is whole."""

    def __init__(self, lookup: asyncio.Future[CrossEncoder], choice: RerankChoice, clock: CallClock) -> None:
        """Take the cross-encoder to be.

        Args:
            lookup: gives the cross-encoder once it is loaded.
            choice: what is asked for.
            clock: takes the time of the scoring.
        """
        self._lookup = lookup
        self._choice = choice
        self._clock = clock

    async def rank(self, query: str, hits: Hits, top_k: int) -> Ranking:
        """Order the first hits by their scores against the query; the others stay behind them as they are.

        Args:
            query: what texts are scored against.
            hits: at least `depth` of them, if so many match, with their records and texts.
            top_k: how many are kept.

        Raises:
            EncoderBusyError, ModelUnavailableError: by the cross-encoder. A deadline raises nothing: the hits stay as they
                are, and the answer says why.
        """
        texts = {row: record.text for row, record in enumerate((hits.records or ())[: self._choice.depth])}
        rows = [row for row, text in texts.items() if text is not None]
        scored = await self._scored(query, [text for text in texts.values() if text is not None])
        if scored is None:
            return self._unranked(hits, top_k, TOO_LATE)
        if texts and not rows:
            return self._unranked(hits, top_k, NO_TEXTS)
        # Stable, so that equal scores keep the order of the search.
        best_first = np.argsort(-scored.scores, kind="stable").tolist()
        order = [rows[position] for position in best_first]
        order += sorted(set(range(len(hits.ids))).difference(order))
        scores = np.full(len(order), np.nan, np.float32)
        scores[: len(rows)] = scored.scores[best_first]
        reranking = wire.Reranking(
            applied=True,
            model=self._model(),
            scored_count=len(rows),
            truncated_count=int(scored.truncated.sum()),
        )
        return self._explained(Ranking(chosen_hits(hits, order[:top_k]), scores[:top_k], reranking))

    async def _scored(self, query: str, texts: list[str]) -> PairScores | None:
        """Score the texts; None if the deadline came first, and then what has not reached the model is dropped."""
        seconds = seconds_to_answer()
        if seconds is not None and seconds <= 0:
            return None
        started = time.perf_counter_ns()
        try:
            async with asyncio.timeout(seconds) as bound:
                cross_encoder = await asyncio.shield(self._lookup)
                if not texts:
                    return NOTHING_SCORED
                scored = await cross_encoder.score(query, texts)
        except TimeoutError:
            if not bound.expired():
                raise
            self._clock.reranked(EncodeTimings(encode_ns=time.perf_counter_ns() - started))
            return None
        self._clock.reranked(scored.timings)
        return scored

    def _unranked(self, hits: Hits, top_k: int, reason: str) -> Ranking:
        reranking = wire.Reranking(reason=reason, model=self._model())
        return self._explained(Ranking(chosen_hits(hits, range(len(hits.ids))[:top_k]), None, reranking))

    def _explained(self, ranking: Ranking) -> Ranking:
        explanation = ranking.hits.explanation
        details = {
            **explanation.details,
            "rerank_depth": self._choice.depth,
            "rerank_scored": ranking.reranking.scored_count,
        }
        return replace(ranking, hits=replace(ranking.hits, explanation=replace(explanation, details=details)))

    def _model(self) -> ModelRef:
        if self._lookup.done():
            return model_ref_to_wire(self._lookup.result().description)
        return ModelRef(name=self._choice.model)


NOTHING_SCORED = PairScores(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_), EncodeTimings())
