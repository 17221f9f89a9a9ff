"""What a server and its worker processes tell each other: pickled, over sockets that nobody else holds.

A worker has three: one for control, and one for each role's batches. On control the server sends a Job and the worker answers
with Loaded or NotLoaded; before and after that it sends log records. On a role's socket the server sends a PackedBatch, and the
worker answers with PackedVectors, or with ForwardFailed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription
from vecgate_server.encoders.runtime import Tokenizer
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.tokenized_text import TokenizedText

# Per text its length and counted tokens, then the token ids and the type ids of all, int32. Pickling the texts themselves costs
# several times as much, which a single query would feel.
PackedBatch: TypeAlias = tuple[tuple[tuple[int, int], ...], bytes, bytes]
# Rows, columns, and the components row by row, float32.
PackedVectors: TypeAlias = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is for, and the least severities that it logs: of this package, and of all others."""

    model: ModelSettings
    settings: EncoderSettings
    log_level: int
    others_log_level: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded and warm; see Runtime and Worker."""

    description: ModelDescription
    tokenizer: Tokenizer
    concurrent: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The model cannot be loaded; the message is a sentence that names it."""

    message: str


@dataclass(frozen=True, slots=True)
class ForwardFailed:
    """The model raised an exception; kind is its class."""

    kind: str
    message: str


def packed(batch: Sequence[TokenizedText]) -> PackedBatch:
    """Put texts into the form that is sent."""
    return (
        tuple((len(text), text.counted) for text in batch),
        b"".join(text.token_ids.tobytes() for text in batch),
        b"".join(text.type_ids.tobytes() for text in batch),
    )


def unpacked(message: PackedBatch) -> list[TokenizedText]:
    """Take texts out of the form that was sent; their arrays are read-only."""
    shapes, token_ids, type_ids = message
    tokens, types = np.frombuffer(token_ids, np.int32), np.frombuffer(type_ids, np.int32)
    texts, start = [], 0
    for length, counted in shapes:
        texts.append(TokenizedText(tokens[start : start + length], types[start : start + length], counted))
        start += length
    return texts


def packed_vectors(vectors: NDArray[np.float32]) -> PackedVectors:
    """Put the vectors of a batch, shape (n, dimension), into the form that is sent."""
    rows, columns = vectors.shape
    return rows, columns, np.ascontiguousarray(vectors, np.float32).tobytes()


def unpacked_vectors(message: PackedVectors) -> NDArray[np.float32]:
    """Take vectors out of the form that was sent; the array is read-only."""
    rows, columns, components = message
    return np.frombuffer(components, np.float32).reshape(rows, columns)
