"""Arithmetic of the metrics: the form in which vectors are kept for searching, nearness in bulk, and the scores of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from vecgate_backends.records import FloatMatrix, FloatVector, Metric

Float64Array: TypeAlias = NDArray[np.float64]
Nearness: TypeAlias = NDArray[np.floating]
"""Comparable within one query, higher is nearer: the inner product, or minus the squared Euclidean distance."""
Rows: TypeAlias = NDArray[np.intp]
"""Places in a block."""
SCORED_CELLS = 1 << 15
"""Components of vectors that are scored at a time, 256 KiB in float64, which a core's own cache holds."""
NORMALISED_CELLS = 1 << 15
"""Components that are brought to length 1 at a time, 256 KiB in float64: a core's own cache holds them, and the system need not give memory for
them. Measured with 1,000 vectors of 384 components: 0.6 ms and not 5."""
GATHERED_CELLS = 1 << 17
"""Components of vectors from all over a block that every query is compared with before the next ones are fetched, 512 KiB, which a core's own cache holds.
Measured with 10,000 rows of 384 components out of 100,000: 2, 8 and 16 queries take 2.3, 6.2 and 7.2 ms and not 5.2, 7.8 and 8.5."""
FEW_QUERIES = 7
"""So many queries are compared with Faiss's kernels, one after the other, more of them as one product of matrices. Measured at 384 dimensions with
rows that no cache holds, a query: 1.4 ms against 3.8 ms for 32,768 rows (BLAS's product of a matrix and one vector), the same for 8, and 1.1 ms
against 3.8 ms for 10,000 chosen rows out of 100,000, which need not be copied first."""


@dataclass(frozen=True, slots=True)
class _Kernels:
    """Faiss's comparison of a query with vectors; what it says is turned round where `distance`.

    Attributes:
        all_rows: (out, query, vectors, dimension, rows). chosen_rows: (out, queries, vectors, rows, dimension, queries, rows a query).
    """

    all_rows: Callable[..., None]
    chosen_rows: Callable[..., None]
    distance: bool

    def each(self, queries: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
        """Compare each query with each vector."""
        found: FloatMatrix = np.empty((len(queries), len(vectors)), np.float32)
        # Kept by name until the call is over: a pointer alone does not keep an array alive.
        kept = np.ascontiguousarray(vectors, np.float32)
        for near, query in zip(found, np.ascontiguousarray(queries, np.float32), strict=True):
            self.all_rows(_pointer(near), _pointer(query), _pointer(kept), kept.shape[1], len(kept))
        return np.negative(found, out=found) if self.distance else found

    def same(self, queries: FloatMatrix, vectors: FloatMatrix, rows: Rows) -> FloatMatrix:
        """Compare each query with the same rows, shape (width,), none of them -1."""
        return self.chosen(queries, vectors, np.broadcast_to(rows, (len(queries), len(rows))))

    def chosen(self, queries: FloatMatrix, vectors: FloatMatrix, rows: Rows) -> FloatMatrix:
        """Compare each query with rows of its own, shape (queries, width); what stands in the place of row -1 means nothing."""
        found: FloatMatrix = np.empty(rows.shape, np.float32)
        kept = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(queries, np.float32)
        places = np.ascontiguousarray(rows, np.int64)
        pointers = [_pointer(array) for array in (found, kept[1], kept[0], places)]
        self.chosen_rows(*pointers, kept[0].shape[1], *rows.shape)
        return np.negative(found, out=found) if self.distance else found


def _pointer(array: NDArray[Any]) -> Any:
    return faiss.swig_ptr(array)


_raw: Any = faiss  # its stubs lack these functions
_INNER_PRODUCTS = _Kernels(_raw.fvec_inner_products_ny, _raw.fvec_inner_products_by_idx, distance=False)
_KERNELS: Mapping[Metric, _Kernels] = MappingProxyType(
    {
        Metric.COSINE: _INNER_PRODUCTS,
        Metric.DOT: _INNER_PRODUCTS,
        Metric.EUCLIDEAN: _Kernels(_raw.fvec_L2sqr_ny, _raw.fvec_L2sqr_by_idx, distance=True),
    }
)


def index_form(metric: Metric, vectors: FloatMatrix) -> FloatMatrix:
    """Return vectors as they are kept for searching, shape (n, dimension): of length 1 under COSINE, else as they came; always a copy."""
    if metric is not Metric.COSINE:
        return np.array(vectors, np.float32, order="C")
    unit = np.empty(vectors.shape, np.float32)
    lot = max(1, NORMALISED_CELLS // vectors.shape[1])
    for begin in range(0, len(vectors), lot):
        rows = slice(begin, begin + lot)
        wide = vectors[rows].astype(np.float64, order="C")  # squares of float32 numbers may leave its range
        wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
        unit[rows] = wide
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
    if len(queries) <= FEW_QUERIES:
        found: Nearness = _KERNELS[metric].each(queries, vectors)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            found = _nearness(metric, queries, vectors, norms)
    if np.isfinite(found).all():
        return found
    wide = vectors.astype(np.float64)
    return _nearness(metric, queries.astype(np.float64), wide, np.einsum("ij,ij->i", wide, wide))


def nearness_of_some(
    metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, norms: FloatVector, rows: Rows
) -> Nearness:
    """Compare each query with the same rows, at least one, shape (width,), none of them -1; else as nearness()."""
    lot = max(1, GATHERED_CELLS // vectors.shape[1]) if len(queries) > 1 else len(rows)
    lots = [rows[begin : begin + lot] for begin in range(0, len(rows), lot)]
    if len(queries) <= FEW_QUERIES:
        found = np.concatenate([_KERNELS[metric].same(queries, vectors, own) for own in lots], axis=1)
        if np.isfinite(found).all():
            return found
    return np.concatenate([nearness(metric, queries, vectors[own], norms[own]) for own in lots], axis=1)


def nearness_of_rows(
    metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, norms: FloatVector, rows: Rows
) -> Nearness:
    """Compare each query with rows of its own; `rows` and the result are of shape (queries, width), row -1 is -inf away."""
    found = _KERNELS[metric].chosen(queries, vectors, rows)
    if np.isfinite(found[rows >= 0]).all():
        found[rows < 0] = -np.inf
        return found
    near: list[Nearness] = []
    for query, own in zip(queries, rows, strict=True):
        compared = nearness(metric, query[np.newaxis], vectors[own], norms[own])
        near.append(np.where(own >= 0, compared[0], -np.inf))
    return np.stack(near)


def final_scores(metric: Metric, queries: FloatMatrix, vectors: FloatMatrix, owners: Rows) -> FloatVector:
    """Score each vector against a query of its own, both in index form, in float64 and from the definition of the metric.

    One pair at a time gives the same number wherever it stands, so equal vectors tie exactly, and a vector's distance to itself is 0.

    Args:
        metric: of the collection.
        queries: shape (n, dimension), finite.
        vectors: shape (m, dimension), finite.
        owners: the row of the query that each vector is scored against, shape (m,).

    Returns:
        float32, shape (m,), higher is nearer.
    """
    score = _SCORES[metric]
    wide = queries.astype(np.float64, order="C")
    scores = np.empty(len(vectors))
    lot = max(1, SCORED_CELLS // vectors.shape[1])
    for begin in range(0, len(vectors), lot):
        rows = slice(begin, begin + lot)
        # One query goes with every vector as it is.
        scores[rows] = score(
            wide if len(wide) == 1 else wide[owners[rows]], vectors[rows].astype(np.float64, order="C")
        )
    with np.errstate(over="ignore"):  # an inner product beyond float32 is infinite
        return scores.astype(np.float32)


def _nearness(metric: Metric, queries: Nearness, vectors: Nearness, norms: Nearness) -> Nearness:
    products: Nearness = queries @ vectors.T
    if metric is not Metric.EUCLIDEAN:
        return products
    # |q - x|^2 = |q|^2 + |x|^2 - 2 q.x
    squared: Nearness = 2 * products - norms[None, :] - np.einsum("ij,ij->i", queries, queries)[:, None]
    return squared


def _dot(queries: Float64Array, vectors: Float64Array) -> Float64Array:
    """Multiply each vector with the query in its row, or with the only one, shape (vectors,).

    BLAS takes each pair on its own. Measured with 384 components: in half of the time that np.einsum takes.
    """
    products: Float64Array = np.matmul(vectors[:, np.newaxis, :], queries[:, :, np.newaxis])[:, 0, 0]
    return products


def _cosine(queries: Float64Array, vectors: Float64Array) -> Float64Array:
    # The lengths are 1 but for the rounding to float32, which this takes out again.
    lengths = np.sqrt(_dot(vectors, vectors) * _dot(queries, queries))
    return np.asarray(np.minimum(np.maximum(_dot(queries, vectors) / lengths, -1.0), 1.0))


def _euclidean(queries: Float64Array, vectors: Float64Array) -> Float64Array:
    differences = vectors - queries
    # Adding 0 turns the -0 of a vector's distance to itself into 0.
    return np.asarray(0.0 - np.sqrt(_dot(differences, differences)))


_SCORES: Mapping[Metric, Callable[[Float64Array, Float64Array], Float64Array]] = MappingProxyType(
    {Metric.COSINE: _cosine, Metric.DOT: _dot, Metric.EUCLIDEAN: _euclidean}
)
