"""The rows of one encode call put together: those that the model answered, and those whose vectors were in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import EncodeTimings, Encoding, LongText, ModelDescription
from vecgate_server.encoders.vector_cache import CachedVector


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of some texts; see Encoding."""

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    timings: EncodeTimings


def with_cached(
    answer: Answer,
    rows: Sequence[int],
    cached: Mapping[int, CachedVector],
    model: ModelDescription,
    long_text: LongText,
) -> Encoding:
    """Put the rows that were encoded and those that were cached together."""
    if not cached:
        return Encoding(answer.vectors, answer.tokens, answer.truncated, answer.shared, answer.timings)
    count = len(rows) + len(cached)
    encoding = Encoding(
        vectors=np.full((count, model.dimension), np.nan, np.float32),
        tokens=np.zeros(count, np.int32),
        truncated=np.zeros(count, np.bool_),
        reused=np.ones(count, np.bool_),
        timings=answer.timings,
    )
    encoding.vectors[rows], encoding.tokens[rows] = answer.vectors, answer.tokens
    encoding.truncated[rows], encoding.reused[rows] = answer.truncated, answer.shared
    for row, entry in cached.items():
        truncated = entry.counted > entry.tokens
        refused = truncated and long_text is LongText.REFUSE
        encoding.tokens[row] = entry.counted if refused else entry.tokens
        encoding.truncated[row] = truncated
        if not refused:
            encoding.vectors[row] = entry.vector
    return encoding
