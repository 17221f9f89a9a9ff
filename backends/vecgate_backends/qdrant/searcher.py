"""Searching a Qdrant collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import methodcaller
from typing import Any

import numpy as np
from qdrant_client import models

from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import SearchOptions
from vecgate_backends.qdrant.engine import Engine
from vecgate_backends.qdrant.filter_translation import in_namespace
from vecgate_backends.qdrant.payload import LENGTH
from vecgate_backends.qdrant.reader import payload_selector, record_of, vector_selector
from vecgate_backends.qdrant.vectors import imprecise, inner_products, scores_of, stored_vectors
from vecgate_backends.records import IDS_ONLY, FlatIndex, FloatMatrix, FloatVector, HnswIndex, Metric

_HITS_OF_ONE_CALL = 20_000
_QUERIES_OF_ONE_CALL = 64


class Searcher:
    """Finds the nearest records; see contract.Collection.search."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Ask Qdrant for every query, and again, exactly, for those whose answer came out short.

        A walk through the graph may end before it has met as many records that match as there are.
        """
        engine = self._engine
        engine.serve_filter(options.filter)
        rows = stored_vectors(engine.spec.metric, queries).rows
        exact = options.exact or engine.options.local or isinstance(engine.spec.index, FlatIndex)
        answers = await self._ask(namespace, rows, options, exact=exact)
        exactly = [exact or len(points) < options.top_k for points in answers]
        if not exact:
            await self._ask_again(namespace, rows, options, answers, exactly, exact=True)
        if engine.spec.metric is Metric.DOT and not options.fields.vector:
            await self._read_vectors(namespace, rows, options, answers, exactly)
        return [
            self._hits(query, points, options, exact=sure)
            for query, points, sure in zip(rows, answers, exactly, strict=True)
        ]

    async def _read_vectors(
        self,
        namespace: str,
        rows: FloatMatrix,
        options: SearchOptions,
        answers: list[Sequence[Any]],
        exactly: Sequence[bool],
    ) -> None:
        """Ask again, with vectors, where an inner product in float32 may be too far off."""
        risky = [
            imprecise(
                query,
                np.array([point.score for point in points], np.float32),
                [point.payload.get(LENGTH, 0.0) for point in points],
            )
            for query, points in zip(rows, answers, strict=True)
        ]
        with_vectors = replace(options, fields=replace(options.fields, vector=True))
        for exact in (False, True):
            chosen = [risk and sure is exact for risk, sure in zip(risky, exactly, strict=True)]
            await self._ask_again(namespace, rows, with_vectors, answers, chosen, exact=exact)

    async def _ask_again(
        self,
        namespace: str,
        rows: FloatMatrix,
        options: SearchOptions,
        answers: list[Sequence[Any]],
        chosen: Sequence[bool],
        *,
        exact: bool,
    ) -> None:
        """Replace the answers to the chosen queries."""
        again = [row for row, wanted in enumerate(chosen) if wanted]
        if again:
            for row, points in zip(again, await self._ask(namespace, rows[again], options, exact=exact), strict=True):
                answers[row] = points

    async def _ask(
        self, namespace: str, rows: FloatMatrix, options: SearchOptions, *, exact: bool
    ) -> list[Sequence[Any]]:
        engine = self._engine
        condition = in_namespace(engine.identity.namespace(namespace), options.filter)
        parameters = self._parameters(options, exact=exact)
        fields = IDS_ONLY if options.fields.nothing else options.fields
        requests = [
            models.QueryRequest.model_construct(
                query=models.NearestQuery.model_construct(nearest=row),
                using=engine.identity.vector,
                filter=condition,
                params=parameters,
                limit=options.top_k,
                with_payload=payload_selector(fields),
                with_vector=vector_selector(engine, fields),
            )
            for row in rows.tolist()
        ]
        size = max(1, min(_QUERIES_OF_ONE_CALL, _HITS_OF_ONE_CALL // options.top_k))
        answers: list[Sequence[Any]] = []
        for start in range(0, len(requests), size):
            some = requests[start : start + size]
            responses = await engine.read(methodcaller("query_batch_points", engine.name, requests=some))
            answers.extend(response.points for response in responses)
        return answers

    def _parameters(self, options: SearchOptions, *, exact: bool) -> models.SearchParams | None:
        if self._engine.options.local:
            return None  # the client's own engine compares with everything, and warns where it is told so
        index = self._engine.spec.index
        ef = options.ef or (index.ef if isinstance(index, HnswIndex) else None)
        return models.SearchParams(
            exact=exact,
            hnsw_ef=None if exact else ef,
            quantization=models.QuantizationSearchParams(rescore=True) if self._engine.options.quantization else None,
        )

    def _hits(self, query: FloatVector, points: Sequence[Any], options: SearchOptions, *, exact: bool) -> Hits:
        """Sort and cut. A threshold takes from the end alone, so that it can be applied to what came."""
        metric = self._engine.spec.metric
        if metric is Metric.DOT and points and points[0].vector:
            vectors = [point.vector[self._engine.identity.vector] for point in points]
            scores = inner_products(query, np.array(vectors, np.float32))
        else:
            scores = scores_of(metric, [point.score for point in points])
        records = [record_of(point, options.fields) for point in points]
        seen = scores.tolist()
        order = sorted(range(len(points)), key=lambda row: (-seen[row], records[row].id))
        threshold = options.score_threshold
        kept = [row for row in order if threshold is None or seen[row] >= threshold]
        plan = "had Qdrant compare with every record that matches" if exact else "had Qdrant search its index"
        return Hits(
            [records[row].id for row in kept],
            scores[np.array(kept, np.intp)],
            None if options.fields.nothing else [records[row] for row in kept],
            Explanation(plan, {"exact": exact, "found": len(points)}),
        )
