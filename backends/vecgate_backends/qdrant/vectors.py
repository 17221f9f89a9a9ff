"""Vectors as Qdrant keeps them, and the scores it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from vecgate_backends.records import FloatMatrix, FloatVector, Metric

DISTANCES = {
    # Of unit vectors the inner product is the cosine. Distance.COSINE would normalise again, in float32, and change the bits.
    Metric.COSINE: models.Distance.DOT,
    Metric.DOT: models.Distance.DOT,
    Metric.EUCLIDEAN: models.Distance.EUCLID,
}
_UNIT_WITHIN = 1e-6


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Vectors for Qdrant, shape (n, dimension), and which rows are not the original, shape (n,)."""

    rows: FloatMatrix
    changed: NDArray[np.bool_]


def stored_vectors(metric: Metric, vectors: FloatMatrix) -> StoredVectors:
    """Return what is compared: under COSINE vectors of length one, else the originals; the input is not written to."""
    if metric is not Metric.COSINE:
        return StoredVectors(vectors, np.zeros(len(vectors), np.bool_))
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    changed = np.abs(lengths - 1.0) > _UNIT_WITHIN
    rows = vectors.copy()
    rows[changed] = exact[changed] / lengths[changed, np.newaxis]
    return StoredVectors(rows, changed)


def scores_of(metric: Metric, engine_scores: list[float]) -> FloatVector:
    """Return the scores of hits, higher is nearer, from those of the engine."""
    scores = np.array(engine_scores, np.float32)
    match metric:
        case Metric.COSINE:
            return np.clip(scores, -1.0, 1.0)
        case Metric.DOT:
            return scores
        case Metric.EUCLIDEAN:
            return np.float32(0.0) - scores
