"""Nearness in bulk is the metric's, however many queries are compared and whichever rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from vecgate_backends.faiss import scoring
from vecgate_backends.faiss.scoring import (
    FEW_QUERIES,
    GATHERED_CELLS,
    NORMALISED_CELLS,
    SCORED_CELLS,
    final_scores,
    index_form,
    nearness,
    nearness_of_rows,
    nearness_of_some,
    squared_norms,
)
from vecgate_backends.records import Metric

ROWS = 300
DIMENSION = 19
METRICS = list(Metric)
COUNTS = [1, FEW_QUERIES, FEW_QUERIES + 1]


def _vectors(count: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(count).standard_normal((count, DIMENSION))).astype(np.float32)


def _defined(metric: Metric, queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The inner product, or minus the squared distance, pair by pair in float64."""
    wide, others = queries.astype(np.float64)[:, None, :], vectors.astype(np.float64)[None, :, :]
    if metric is Metric.EUCLIDEAN:
        return np.asarray(-((wide - others) ** 2).sum(axis=2))
    return np.asarray((wide * others).sum(axis=2))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", COUNTS)
def test_every_vector_is_compared(metric: Metric, count: int) -> None:
    queries, vectors = _vectors(count), _vectors(ROWS)
    found = nearness(metric, queries, vectors, squared_norms(vectors))
    np.testing.assert_allclose(found, _defined(metric, queries, vectors), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gathered_cells", [GATHERED_CELLS, 2 * DIMENSION], ids=["at once", "two at a time"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", COUNTS)
def test_some_rows_are_compared_as_all_are(
    metric: Metric, count: int, gathered_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "GATHERED_CELLS", gathered_cells)
    queries, vectors = _vectors(count), _vectors(ROWS)
    rows = np.array([0, 7, 8, 250, ROWS - 1])
    found = nearness_of_some(metric, queries, vectors, squared_norms(vectors), rows)
    np.testing.assert_allclose(found, _defined(metric, queries, vectors)[:, rows], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", COUNTS)
def test_some_rows_that_float32_cannot_compare_are_compared_beside_others(
    metric: Metric, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "GATHERED_CELLS", 2 * DIMENSION)
    queries, vectors = _vectors(count, 1e5), _vectors(ROWS)
    vectors[7] *= np.float32(1e35)
    rows = np.array([0, 1, 2, 7, 8, 250, ROWS - 1])
    found = nearness_of_some(metric, queries, vectors, squared_norms(vectors), rows)
    np.testing.assert_allclose(found, _defined(metric, queries, vectors)[:, rows], rtol=1e-3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", COUNTS)
def test_rows_of_each_query_are_compared_and_a_missing_one_is_infinitely_far(metric: Metric, count: int) -> None:
    queries, vectors = _vectors(count), _vectors(ROWS)
    rows = np.random.default_rng(1).integers(0, ROWS, (count, 6))
    rows[:, 2] = -1
    found = nearness_of_rows(metric, queries, vectors, squared_norms(vectors), rows)
    expected = np.take_along_axis(_defined(metric, queries, vectors), rows, axis=1)
    expected[:, 2] = -np.inf
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
@pytest.mark.parametrize("count", COUNTS)
def test_numbers_that_float32_cannot_hold_are_compared_in_float64(metric: Metric, count: int) -> None:
    queries, vectors = _vectors(count, 1e19), _vectors(ROWS, 1e20)
    norms, rows = squared_norms(vectors), np.arange(0, ROWS, 3)
    expected = _defined(metric, queries, vectors)
    each = np.broadcast_to(rows, (count, len(rows)))
    np.testing.assert_allclose(nearness(metric, queries, vectors, norms), expected, rtol=1e-4)
    np.testing.assert_allclose(nearness_of_some(metric, queries, vectors, norms, rows), expected[:, rows], rtol=1e-4)
    np.testing.assert_allclose(nearness_of_rows(metric, queries, vectors, norms, each), expected[:, rows], rtol=1e-4)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dimension", [384, NORMALISED_CELLS + 1])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_vectors_get_length_1_the_same_wherever_they_stand(dimension: int, more: int, order: Literal["C", "F"]) -> None:
    count = 2 * max(1, NORMALISED_CELLS // dimension) + more
    vectors = np.asarray(np.random.default_rng(3).standard_normal((count, dimension), np.float32), order=order)
    unit = index_form(Metric.COSINE, vectors)
    assert unit.dtype == np.float32
    assert unit.flags.c_contiguous
    each = [index_form(Metric.COSINE, vector[np.newaxis])[0] for vector in vectors]
    np.testing.assert_array_equal(unit, np.array(each))
    wide = vectors.astype(np.float64)
    np.testing.assert_allclose(unit, wide / np.linalg.norm(wide, axis=1, keepdims=True), rtol=1e-6)


def test_no_vectors_stay_none() -> None:
    assert index_form(Metric.COSINE, np.empty((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("dimension", [1, 40, 96, 383, 384, 800])
@pytest.mark.parametrize("metric", METRICS)
def test_a_pair_has_the_same_score_wherever_it_stands(metric: Metric, dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    # Halves that cancel almost, so that the order in which the products are added up shows.
    half = rng.standard_normal((SCORED_CELLS // dimension + 20, (dimension + 1) // 2))
    vectors = np.concatenate([half, -half[:, ::-1]], axis=1)[:, :dimension].astype(np.float32)
    queries = (1 + 1e-6 * rng.standard_normal((3, dimension))).astype(np.float32)
    owners = rng.integers(0, 3, len(vectors))
    together = final_scores(metric, queries, vectors, owners)
    one = np.zeros(1, np.intp)
    for row in [*range(25), *range(len(vectors) - 25, len(vectors))]:
        query, vector = queries[owners[row]][np.newaxis], vectors[row : row + 1]
        assert final_scores(metric, query, vector, one).tolist() == [together[row]]
    for number, query in enumerate(queries):
        own = np.flatnonzero(owners == number)
        alone = final_scores(metric, query[np.newaxis], vectors[own], np.zeros(len(own), np.intp))
        assert alone.tolist() == together[own].tolist()
    turned = final_scores(metric, np.asfortranarray(queries), np.asfortranarray(vectors), owners)
    assert turned.tolist() == together.tolist()
