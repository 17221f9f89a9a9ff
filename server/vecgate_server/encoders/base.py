"""The contract of an encoder: one loaded model that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Role(StrEnum):
    """What a text will be used for; the encoder puts the model's own prompt for it before the text."""

    QUERY = "query"
    DOCUMENT = "document"


class LongText(StrEnum):
    """What to do about text longer than the model reads: encode its beginning, or leave it out."""

    TRUNCATE = "truncate"
    REFUSE = "refuse"


class ModelState(StrEnum):
    """Whether a model can answer now."""

    AVAILABLE = "available"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a loaded model is.

    Attributes:
        name: the name used in requests.
        fingerprint: "sha256:<64 hex>" over everything that shapes document vectors (DESIGN of the project, "model binding"):
            weights, tokenizer, maximum length, pooling, dense layers, normalisation, dimensions, document prompt, precision class.
        dimension: length of its vectors.
        max_tokens: most tokens read of one text, special tokens included.
        query_prompt, document_prompt: put before texts; may be empty.
        normalized: vectors have length 1.
        runtime: what runs the forward pass, "onnx" or "torch".
        source: where it was found, with a revision where one is known.
        runtime_reason: why that runtime was taken, for people; may be empty.
    """

    name: str
    fingerprint: str
    dimension: int
    max_tokens: int
    query_prompt: str
    document_prompt: str
    normalized: bool
    runtime: str
    source: str
    runtime_reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model the server is configured for; `description` once it was loaded, `detail` says why it FAILED."""

    name: str
    is_default: bool
    state: ModelState
    description: ModelDescription | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EncodeTimings:
    """Nanoseconds spent waiting, tokenizing, and in the model."""

    queue_ns: int = 0
    tokenize_ns: int = 0
    encode_ns: int = 0


@dataclass(frozen=True, slots=True)
class Encoding:
    """The answer to one encode call, row i for texts[i].

    Attributes:
        vectors: float32, shape (n, dimension), C order. With LongText.REFUSE the rows of too long texts are NaN.
        tokens: int32, shape (n,): tokens the model read, special tokens and prompt included (of a refused text: at least
            one more than max_tokens).
        truncated: bool, shape (n,): the text was longer than the model reads.
        timings: where the time went.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    timings: EncodeTimings


class Encoder(Protocol):
    """One loaded model. Methods are called on one event loop and never block it."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        """Encode texts; empty text is text. Cancelling the call drops what has not reached the model.

        Raises:
            EncoderBusyError: the queue is full; nothing was encoded.
            ModelUnavailableError: the model broke down.
        """


class Models(Protocol):
    """The models a server is configured for, loaded at start or at first use."""

    async def start(self) -> None:
        """Load and warm the models that are to be ready before the server is."""

    async def close(self) -> None:
        """Drop queued work and release every model."""

    async def encoder(self, name: str | None) -> Encoder:
        """Return the model's encoder, loading it if need be; None means the default model.

        Raises:
            ModelNotFoundError: not configured.
            ModelUnavailableError: it cannot be loaded; the message says why.
        """

    def statuses(self) -> Sequence[ModelStatus]:
        """Describe every configured model, the default first."""

    @property
    def ready(self) -> bool:
        """Whether every model that start() loads is warm."""
