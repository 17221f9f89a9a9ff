"""Shorter vectors of one model (Matryoshka): the first components, normalised again where the model normalises.

Kusupati et al., "Matryoshka Representation Learning", 2022: a model trained for it puts what matters most first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import Encoder, Encoding, LongText, ModelDescription, Role


class ShortenedEncoder:
    """An Encoder that gives the first components of another one's vectors."""

    def __init__(self, encoder: Encoder, dimension: int) -> None:
        """Take an encoder and how many components are kept, at most as many as it gives."""
        self._encoder = encoder
        self._description = shortened(encoder.description, dimension)

    @property
    def description(self) -> ModelDescription:
        """What the model is, with the shorter vectors and their own fingerprint."""
        return self._description

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        """Encode texts; see Encoder.encode."""
        encoding = await self._encoder.encode(texts, role, long_text=long_text)
        kept = cut(encoding.vectors, self._description.dimension, normalized=self._description.normalized)
        return replace(encoding, vectors=kept)


def shortened(model: ModelDescription, dimension: int) -> ModelDescription:
    """Describe a model whose vectors are cut to `dimension` components; the model itself if that is its own dimension."""
    if dimension == model.dimension:
        return model
    # Of its own, so that vectors of two lengths never meet.
    fingerprint = hashlib.sha256(f"{model.fingerprint}\nfirst {dimension} components".encode()).hexdigest()
    return replace(
        model,
        fingerprint=f"sha256:{fingerprint}",
        dimension=dimension,
        matryoshka_dimensions=tuple(each for each in model.matryoshka_dimensions if each < dimension),
    )


def cut(vectors: NDArray[np.float32], dimension: int, *, normalized: bool) -> NDArray[np.float32]:
    """Keep the first components of each vector.

    Args:
        vectors: float32, shape (n, at least dimension).
        dimension: components to keep.
        normalized: whether to make their length 1 again; zeros stay zeros, NaN stays NaN.

    Returns:
        float32, shape (n, dimension), C order; an array of its own.
    """
    kept = np.array(vectors[:, :dimension], np.float32, order="C")
    if normalized:
        # In float64, since squares of small components vanish in float32.
        lengths = np.linalg.norm(kept.astype(np.float64), axis=1, keepdims=True)
        np.divide(kept, lengths, out=kept, where=lengths != 0, casting="same_kind")
    return kept
