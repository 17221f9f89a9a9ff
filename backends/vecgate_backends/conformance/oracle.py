"""What a search must answer, computed here from the definitions in float64, independently of every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.answers import Hits
from vecgate_backends.records import FloatMatrix, FloatVector, Metric

Float64: TypeAlias = NDArray[np.float64]


def exact_scores(metric: Metric, query: FloatVector, vectors: FloatMatrix) -> Float64:
    """Return the score of each row of `vectors`, shape (n,)."""
    target = query.astype(np.float64)
    rows = vectors.astype(np.float64)
    match metric:
        case Metric.COSINE:
            return np.asarray(rows @ target / (np.sqrt((rows**2).sum(axis=1)) * np.sqrt((target**2).sum())))
        case Metric.DOT:
            return np.asarray(rows @ target)
        case Metric.EUCLIDEAN:
            return np.asarray(-np.sqrt(((rows - target) ** 2).sum(axis=1)))


def tolerances(metric: Metric, query: FloatVector, vectors: FloatMatrix) -> Float64:
    """Return by how much each score may be off, shape (n,): the contract's invariant 1, on the score itself.

    For EUCLIDEAN the contract bounds the square, so that d may be off by sqrt(d^2 + b) - d or d - sqrt(d^2 - b); the
    larger of the two is allowed.
    """
    exact = exact_scores(metric, query, vectors)
    match metric:
        case Metric.COSINE:
            return np.full(len(vectors), 1e-4)
        case Metric.DOT:
            return np.asarray(1e-4 * np.maximum(1.0, np.abs(exact)))
        case Metric.EUCLIDEAN:
            bound = 1e-5 * ((query.astype(np.float64) ** 2).sum() + (vectors.astype(np.float64) ** 2).sum(axis=1))
            upwards = np.sqrt(exact**2 + bound) + exact
            downwards = -exact - np.sqrt(np.maximum(exact**2 - bound, 0.0))
            return np.asarray(np.maximum(upwards, downwards))


class Oracle:
    """Knows the vectors of every record that a search may find, and so what it must answer."""

    def __init__(self, metric: Metric, stored: Mapping[str, FloatVector]) -> None:
        self._metric = metric
        self._rows = {record_id: row for row, record_id in enumerate(stored)}
        self._vectors = np.stack(list(stored.values())) if stored else np.empty((0, 0), np.float32)

    def check(self, hits: Hits, query: FloatVector, *, top_k: int, nearest: bool = True) -> None:
        """Insist that an answer without a threshold is right: how many, which, their scores, their order.

        With `nearest` the hits must be the top_k nearest, but for those within the tolerance of the last one; without,
        any records that may be found.
        """
        assert hits.scores.dtype == np.float32
        assert hits.scores.shape == (len(hits.ids),)
        assert len(hits.ids) == min(top_k, len(self._rows))
        assert len(set(hits.ids)) == len(hits.ids)
        assert set(hits.ids) <= set(self._rows)
        check_order(hits)
        if not hits.ids:
            return
        exact = exact_scores(self._metric, query, self._vectors)
        allowed = tolerances(self._metric, query, self._vectors)
        found = np.array([self._rows[record_id] for record_id in hits.ids])
        assert np.all(np.abs(hits.scores - exact[found]) <= allowed[found] + 1e-12), (hits.scores, exact[found])
        if nearest:
            nearer = exact > exact[found].min() + allowed + allowed[found].max()
            assert set(np.flatnonzero(nearer)) <= set(found)

    def recall(self, answers: Sequence[Hits], queries: FloatMatrix, *, top_k: int) -> float:
        """Return the share of the nearest `top_k` that was found, 0 to 1; a tie with the last of them counts as found."""
        wanted = min(top_k, len(self._rows))
        found = 0
        for query, hits in zip(queries, answers, strict=True):
            exact = exact_scores(self._metric, query, self._vectors)
            last = np.partition(exact, -wanted)[-wanted]
            found += sum(exact[self._rows[record_id]] >= last - 1e-6 for record_id in hits.ids[:wanted])
        return found / (wanted * len(queries))


def check_order(hits: Hits) -> None:
    """Insist on the highest score first, and among equal scores on the order of ids."""
    ranked = [(-score, record_id) for score, record_id in zip(hits.scores.tolist(), hits.ids, strict=True)]
    assert ranked == sorted(ranked)
