"""The contract of a runtime: what runs one model's forward pass, without queues or asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, Role
from vecgate_server.encoders.tokenized_text import TokenizedText


class Tokenizer(Protocol):
    """What turns texts into a model's tokens. It can be pickled, and used from several threads."""

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        """Tokenize texts, prompt included; item i belongs to texts[i]."""

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenize the query with each text, as a cross-encoder reads them; item i belongs to texts[i]."""


class Runtime(Protocol):
    """One loaded model; its methods block."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into the model's tokens."""

    @property
    def concurrent(self) -> bool:
        """Whether forward() may run for queries in one thread while it runs for documents in another."""

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch, padded to its longest text. Called from one thread for each role at a time.

        Returns:
            float32, shape (len(batch), dimension), row i for batch[i]. A cross-encoder's dimension is 1.
        """
