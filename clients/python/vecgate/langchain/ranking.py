"""What LangChain makes of scores: relevance from 0 to 1, and an order that avoids repetition."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vecgate.records import Metric

RELEVANCE: dict[Metric, Callable[[float], float]] = {
    "cosine": lambda score: min(max((1 + score) / 2, 0.0), 1.0),
    "dot": lambda score: 1 / (1 + math.exp(-min(max(score, -700.0), 700.0))),
    "euclidean": lambda score: 1 / (1 - min(score, 0.0)),
}
"""Metric → score (higher is nearer) to relevance, growing, within 0 to 1: the half of 1 + cosine, the logistic function of
the inner product, the reciprocal of 1 + distance."""


def similarities(left: NDArray[np.float32], right: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """Compare each row of one matrix with each of the other, in the scale of the metric's scores.

    Args:
        left: shape (n, dimension).
        right: shape (m, dimension).
        metric: of the collection.

    Returns:
        Shape (n, m).
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    match metric:
        case "cosine":
            return np.matmul(a, b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
        case "dot":
            return np.matmul(a, b.T)
        case "euclidean":
            distances: NDArray[np.float64] = np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2)
            return -distances


def diverse_order(
    scores: Sequence[float], vectors: NDArray[np.float32], metric: Metric, *, k: int, lambda_mult: float
) -> list[int]:
    """Choose by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each step takes the candidate with the largest lambda · score - (1 - lambda) · (largest similarity to one taken before),
    both in the metric's scale.

    Args:
        scores: of the candidates to the query, shape (n,).
        vectors: of the candidates, shape (n, dimension).
        metric: of the collection.
        k: how many to choose at most.
        lambda_mult: 1: by score alone; 0: as different as can be.

    Returns:
        Indices of the chosen, in the order of choice.
    """
    relevance = np.asarray(scores, dtype=np.float64)
    chosen: list[int] = []
    nearest = np.full(len(relevance), -np.inf)
    for _ in range(min(k, len(relevance))):
        gain = relevance if not chosen else lambda_mult * relevance - (1 - lambda_mult) * nearest
        best = int(np.argmax(np.where(np.isin(np.arange(len(relevance)), chosen), -np.inf, gain)))
        chosen.append(best)
        nearest = np.maximum(nearest, similarities(vectors, vectors[best : best + 1], metric)[:, 0])
    return chosen
