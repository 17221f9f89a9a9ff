"""Vectors as Qdrant keeps them, and the scores it gives back."""

from __future__ import annotations

from collections.abc import Sequence
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


def imprecise(query: FloatVector, scores: FloatVector, lengths: Sequence[float]) -> bool:
    """Whether inner products in float32 may be off by half of what the contract allows, because large terms cancelled out.

    `query` has shape (dimension,); `scores` and `lengths`, those of the vectors, have shape (hits,). A sum of products in
    float32 is taken to be off by up to four times its rounding error, which grows with the root of the dimension.
    """
    unit = 4.0 * 2.0**-24 * np.sqrt(len(query)) * np.linalg.norm(query.astype(np.float64))
    return bool(np.any(unit * np.asarray(lengths) > 0.5e-4 * np.maximum(1.0, np.abs(scores))))


def inner_products(query: FloatVector, vectors: FloatMatrix) -> FloatVector:
    """Return the products with each row, computed in float64; what is beyond float32 is infinite."""
    with np.errstate(over="ignore"):
        return (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)


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
