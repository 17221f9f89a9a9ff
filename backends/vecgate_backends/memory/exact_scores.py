"""Scores of every vector against a query, in float64 from the definition of each metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.records import Metric

Float64Array: TypeAlias = NDArray[np.float64]


def _cosine(query: Float64Array, vectors: Float64Array) -> Float64Array:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.asarray(np.clip(vectors @ query / lengths, -1.0, 1.0))


def _dot(query: Float64Array, vectors: Float64Array) -> Float64Array:
    return np.asarray(vectors @ query)


def _euclidean(query: Float64Array, vectors: Float64Array) -> Float64Array:
    return np.asarray(-np.linalg.norm(vectors - query, axis=1))


SCORES: Mapping[Metric, Callable[[Float64Array, Float64Array], Float64Array]] = MappingProxyType(
    {Metric.COSINE: _cosine, Metric.DOT: _dot, Metric.EUCLIDEAN: _euclidean}
)
"""Metric → (query of shape (dimension,), vectors of shape (n, dimension)) → scores of shape (n,), higher is nearer."""
