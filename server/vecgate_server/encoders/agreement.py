"""How near a graph comes to torch, whose vectors and scores it is to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelKind
from vecgate_server.encoders.settings import Precision


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was seen when a graph was checked on a sample of texts, or what is wanted.

    Attributes:
        difference: of vectors the largest relative difference of lengths; of scores the largest difference, relative to the
            largest score, or to 1 if that is larger.
        cosine: the smallest cosine between vectors; None for scores.
    """

    difference: float
    cosine: float | None = None

    def __str__(self) -> str:
        """Say how near it came, for people."""
        if self.cosine is None:
            return f"scores differ from torch's by at most {self.difference:.1e}"
        return f"cosine to torch at least {self.cosine:.7f}"

    def reaches(self, wanted: Agreement) -> bool:
        """Whether it is at least as good as another one; NaN never is."""
        near = self.difference <= wanted.difference
        return near and (wanted.cosine is None or (self.cosine is not None and self.cosine >= wanted.cosine))

    def shortfall(self, wanted: Agreement) -> str:
        """Say what was seen and what was wanted instead."""
        if self.cosine is None:
            return f"scores differ by up to {self.difference:.1e}, at most {wanted.difference:.1e} is wanted"
        return (
            f"cosine down to {self.cosine:.6f}, at least {wanted.cosine} is wanted; lengths differ by up to "
            f"{self.difference:.1e}"
        )


# fp32: the rounding of sums in another order. int8: what all-MiniLM-L6-v2 loses is 0.012; a graph that lost its meaning falls
# far below. Vectors that are not normalised could point the same way and be too long, hence the lengths.
WANTED_OF_VECTORS: Mapping[Precision, Agreement] = MappingProxyType(
    {Precision.FP32: Agreement(1e-4, 0.99999), Precision.INT8: Agreement(0.2, 0.95)}
)
WANTED_OF_SCORES: Mapping[Precision, Agreement] = MappingProxyType(
    {Precision.FP32: Agreement(1e-4), Precision.INT8: Agreement(0.2)}
)


def wanted_agreement(kind: ModelKind, precision: Precision) -> Agreement:
    """Return what a graph must reach to be served."""
    return (WANTED_OF_SCORES if kind is ModelKind.CROSS_ENCODER else WANTED_OF_VECTORS)[precision]


def worst(seen: Sequence[Agreement]) -> Agreement:
    """Return the worst of several checks of one model; NaN is the worst there is."""
    cosines = [each.cosine for each in seen if each.cosine is not None]
    return Agreement(
        difference=float(np.max([each.difference for each in seen])),
        cosine=float(np.min(cosines)) if cosines else None,
    )


def agreement_of_vectors(vectors: NDArray[np.float32], expected: NDArray[np.float32]) -> Agreement:
    """Compare vectors of shape (n, dimension) row by row; the zero vector agrees with itself alone."""
    lengths, expected_lengths = (np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (vectors, expected))
    both_zero = (lengths == 0) & (expected_lengths == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = (vectors.astype(np.float64) * expected).sum(axis=1) / (lengths * expected_lengths)
        differences = np.abs(lengths / expected_lengths - 1)
    return Agreement(
        difference=float(np.where(both_zero, 0.0, differences).max()),
        cosine=float(np.where(both_zero, 1.0, cosines).min()),
    )


def agreement_of_scores(scores: NDArray[np.float32], expected: NDArray[np.float32]) -> Agreement:
    """Compare scores of shape (n, 1)."""
    return Agreement(difference=float(np.abs(scores - expected).max() / max(1.0, float(np.abs(expected).max()))))
