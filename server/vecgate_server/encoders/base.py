"""The contract of an encoder: one loaded model that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.distribution import Distribution
from vecgate_server.encoders.settings import Precision

WAIT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""
TEXT_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


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


class ModelKind(StrEnum):
    """What a model is for: turning a text into a vector, or scoring a text against a query."""

    ENCODER = "encoder"
    CROSS_ENCODER = "cross-encoder"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a loaded model is.

    Attributes:
        name: the name used in requests.
        fingerprint: "sha256:<64 hex>" over everything that shapes document vectors (DESIGN of the project, "model binding"):
            weights, tokenizer, maximum length, pooling, dense layers, normalisation, dimensions, document prompt, precision class.
        dimension: length of its vectors; 1 for a cross-encoder, which gives one score.
        max_tokens: most tokens read of one text, special tokens included.
        query_prompt, document_prompt: put before texts; may be empty.
        normalized: vectors have length 1.
        runtime: what runs the forward pass, "onnx" or "torch".
        source: where it was found, with a revision where one is known.
        runtime_reason: why that runtime was taken, for people; may be empty.
        kind: what it is for.
        precision: the precision class of its forward pass.
        matryoshka_dimensions: shorter lengths that its vectors may be cut to, ascending; none for most models.
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
    kind: ModelKind = ModelKind.ENCODER
    precision: Precision = Precision.FP32
    matryoshka_dimensions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCounters:
    """What one model did since the server started, unloading and replaced workers included, and what waits for it.

    Attributes:
        texts: texts and pairs that were answered.
        reused: those of them for which the model did not run.
        tokens: tokens that the model read.
        runs: forward passes.
        run_seconds: how long those took, in all workers together.
        refused_calls: calls refused because the queue was full.
        worker_restarts: workers that died and were replaced.
        waiting_tokens: tokens in each role's lane now.
        cache_bytes: what the cache of vectors takes now.
        cache_hits, cache_misses: texts to encode whose vector the cache had, or had not.
    """

    texts: int = 0
    reused: int = 0
    tokens: int = 0
    runs: int = 0
    run_seconds: float = 0.0
    refused_calls: int = 0
    worker_restarts: int = 0
    waiting_tokens: Mapping[Role, int] = field(default_factory=dict)
    cache_bytes: int = 0
    cache_hits: int = 0
    cache_misses: int = 0


@dataclass(frozen=True, slots=True)
class ModelDistributions:
    """What one model did since the server started, as distributions; they go on counting.

    Attributes:
        wait_seconds: of calls that the model ran for, by role: the time in which none of their texts was tokenized or in the model.
        run_texts: texts of a forward pass.
    """

    wait_seconds: Mapping[Role, Distribution] = field(
        default_factory=lambda: {role: Distribution(WAIT_BOUNDS) for role in Role}
    )
    run_texts: Distribution = field(default_factory=lambda: Distribution(TEXT_BOUNDS))


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model the server is configured for.

    Attributes:
        description: what it is, or was when it was last loaded.
        detail: why it FAILED.
        memory_bytes: what its workers take, as measured after it was loaded; 0 while it is not loaded.
        counters, distributions: what it did.
    """

    name: str
    is_default: bool
    state: ModelState
    description: ModelDescription | None = None
    detail: str = ""
    memory_bytes: int = 0
    counters: ModelCounters = field(default_factory=ModelCounters)
    distributions: ModelDistributions = field(default_factory=ModelDistributions)


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
        reused: bool, shape (n,): the model did not run for this text: its vector was in the cache, or another call was
            encoding the same text.
        timings: where the time went.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    reused: NDArray[np.bool_]
    timings: EncodeTimings


@dataclass(frozen=True, slots=True)
class PairScores:
    """The answer to one rerank call, row i for texts[i].

    Attributes:
        scores: float32, shape (n,): higher is nearer; the scale is the model's. With LongText.REFUSE the rows of pairs that
            are too long are NaN.
        tokens: int32, shape (n,): tokens the model read of query and text together, special tokens included.
        truncated: bool, shape (n,): the pair was longer than the model reads.
        timings: where the time went.
    """

    scores: NDArray[np.float32]
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


class CrossEncoder(Protocol):
    """One loaded model that scores texts against a query, as work of the QUERY lane."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""

    async def score(self, query: str, texts: Sequence[str], *, long_text: LongText = LongText.TRUNCATE) -> PairScores:
        """Score each text against the query. Cancelling the call drops what has not reached the model.

        Raises:
            EncoderBusyError: the queue is full; nothing was scored.
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
            ModelKindError: it is a cross-encoder.
            ModelUnavailableError: it cannot be loaded; the message says why.
        """

    async def cross_encoder(self, name: str) -> CrossEncoder:
        """Return a cross-encoder, loading it if need be.

        Raises:
            ModelNotFoundError: not configured.
            ModelKindError: it is no cross-encoder.
            ModelUnavailableError: it cannot be loaded; the message says why.
        """

    def statuses(self) -> Sequence[ModelStatus]:
        """Describe every configured model, the default first. Metrics ask from another thread."""

    @property
    def ready(self) -> bool:
        """Whether every model that start() loads is warm."""
