"""The contracts of what runs a model's forward pass, without queues: a runtime, and a worker that holds one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, ModelState, Role
from vecgate_server.encoders.tokenized_text import TokenizedText


class Tokenizer(Protocol):
    """What turns texts into a model's tokens. It can be pickled, and used from several threads."""

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        """Tokenize texts, prompt included; item i belongs to texts[i]."""

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenize the query with each text, as a cross-encoder reads them; item i belongs to texts[i]."""


class ModelFacts(Protocol):
    """What is known of a model once it is loaded."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into the model's tokens."""

    @property
    def concurrent(self) -> bool:
        """Whether queries may run in one thread while documents run in another."""


class Runtime(ModelFacts, Protocol):
    """One loaded model; its methods block."""

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch, padded to its longest text. Called from one thread for each role at a time.

        Returns:
            float32, shape (len(batch), dimension), row i for batch[i]. A cross-encoder's dimension is 1.
        """


class WorkerDiedError(Exception):
    """What a worker ran in is gone, or cannot be spoken with any more."""


class Worker(ModelFacts, Protocol):
    """A runtime that is loaded once it stands here, and is replaced when it breaks down. Its properties never block."""

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        """Have a batch run; see Runtime.forward. Called on the event loop; one for each role at a time.

        While the runtime is being replaced, the batch waits for it. The future fails with WorkerDiedError if it died with the
        batch, with ModelUnavailableError if it cannot be replaced now, with ShuttingDownError once the worker is closed, and
        with whatever the model itself fails with.
        """

    def load(self) -> None:
        """Load and warm the model; description and tokenizer are there from then on. Blocks.

        Raises:
            ModelUnavailableError: it cannot be loaded; the message says why.
            ShuttingDownError: close() was called meanwhile.
        """

    @property
    def state(self) -> ModelState:
        """READY: it answers. LOADING: it is being loaded or replaced. FAILED: it does not answer now; detail says why."""

    @property
    def detail(self) -> str:
        """Why it FAILED."""

    @property
    def restarts(self) -> int:
        """How often it was replaced."""

    @property
    def memory_bytes(self) -> int:
        """What it took when it was loaded; 0 while it is not."""

    def close(self) -> None:
        """Release the model; a load() or forward() under way ends with ShuttingDownError. Idempotent, from any thread."""
