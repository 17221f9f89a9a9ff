"""Arithmetic of the metrics: the form in which vectors are kept for searching, nearness in bulk, and the scores of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.records import FloatMatrix, FloatVector, Metric

Float64Array: TypeAlias = NDArray[np.float64]
Nearness: TypeAlias = NDArray[np.floating]
"""Comparable within one query, higher is nearer: the inner product, or minus the squared Euclidean distance."""
Rows: TypeAlias = NDArray[np.intp]
"""Places in a block."""


def index_form(metric: Metric, vectors: FloatMatrix) -> FloatMatrix:
    """Return vectors as they are kept for searching, shape (n, dimension): of length 1 under COSINE, else as they came; always a copy."""
    if metric is not Metric.COSINE:
        return np.array(vectors, np.float32, order="C")
    wide = vectors.astype(np.float64)  # squares of float32 numbers may leave its range
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    unit: FloatMatrix = (wide / lengths[:, None]).astype(np.float32)
    return unit


def squared_norms(vectors: FloatMatrix) -> FloatVector:
    """Return the squared length of each row, shape (n,); infinity where it leaves the range of float32."""
    with np.errstate(over="ignore"):
        norms: FloatVector = np.einsum("ij,ij->i", vectors, vectors)
        return norms


def nearness(metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, norms: FloatVector) -> Nearness:
    """Compare each query with each vector, both in index form; `norms` are squared_norms(vectors).

    Returns:
        Shape (queries, vectors), float32; float64 if float32 cannot hold the numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found: Nearness = _nearness(metric, queries, vectors, norms)
        if np.isfinite(found).all():
            return found
    wide = vectors.astype(np.float64)
    return _nearness(metric, queries.astype(np.float64), wide, np.einsum("ij,ij->i", wide, wide))


def nearness_of_rows(
    metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, norms: FloatVector, rows: Rows
) -> Nearness:
    """Compare each query with rows of its own; `rows` and the result are of shape (queries, width), row -1 is -inf away."""
    near: list[Nearness] = []
    for query, own in zip(queries, rows, strict=True):
        found = nearness(metric, query[np.newaxis], vectors[own], norms[own])
        near.append(np.where(own >= 0, found[0], -np.inf))
    return np.stack(near)


def final_scores(metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, owners: Rows) -> FloatVector:
    """Score each vector against a query of its own, both in index form, in float64 and from the definition of the metric.

    One pair at a time gives the same number wherever it stands, so equal vectors tie exactly, and a vector's distance to itself is 0.

    Args:
        metric: of the collection.
        queries: shape (n, dimension).
        vectors: shape (m, dimension).
        owners: the row of the query that each vector is scored against, shape (m,).

    Returns:
        float32, shape (m,), higher is nearer.
    """
    with np.errstate(over="ignore"):  # an inner product beyond float32 is infinite
        return _SCORES[metric](queries.astype(np.float64), vectors.astype(np.float64), owners).astype(np.float32)


def _nearness(metric: Metric, queries: Nearness, vectors: Nearness, norms: Nearness) -> Nearness:
    products: Nearness = queries @ vectors.T
    if metric is not Metric.EUCLIDEAN:
        return products
    # |q - x|^2 = |q|^2 + |x|^2 - 2 q.x
    squared: Nearness = 2 * products - norms[None, :] - np.einsum("ij,ij->i", queries, queries)[:, None]
    return squared


def _dot(queries: Float64Array, vectors: Float64Array, owners: Rows) -> Float64Array:
    return np.asarray(np.einsum("ij,ij->i", vectors, queries[owners]))


def _cosine(queries: Float64Array, vectors: Float64Array, owners: Rows) -> Float64Array:
    # The lengths are 1 but for the rounding to float32, which this takes out again.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors) * np.einsum("ij,ij->i", queries, queries)[owners])
    return np.asarray(np.minimum(np.maximum(_dot(queries, vectors, owners) / lengths, -1.0), 1.0))


def _euclidean(queries: Float64Array, vectors: Float64Array, owners: Rows) -> Float64Array:
    differences = vectors - queries[owners]
    # Adding 0 turns the -0 of a vector's distance to itself into 0.
    return np.asarray(0.0 - np.sqrt(np.einsum("ij,ij->i", differences, differences)))


_SCORES: Mapping[Metric, Callable[[Float64Array, Float64Array, Rows], Float64Array]] = MappingProxyType(
    {Metric.COSINE: _cosine, Metric.DOT: _dot, Metric.EUCLIDEAN: _euclidean}
)
