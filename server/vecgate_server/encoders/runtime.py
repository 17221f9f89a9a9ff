"""The contract of a runtime: what runs one model's forward pass, without queues or asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, Role


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """What the model reads of one text.

    Attributes:
        token_ids: int32, special tokens and prompt included; at most the model's maximum.
        type_ids: int32, the segment of each token.
        counted: tokens of the text itself; of a text that is too long, a number above the model's maximum.
    """

    token_ids: NDArray[np.int32]
    type_ids: NDArray[np.int32]
    counted: int

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def truncated(self) -> bool:
        """Whether the text was longer than the model reads."""
        return self.counted > len(self.token_ids)


class Runtime(Protocol):
    """One loaded model; its methods block."""

    @property
    def description(self) -> ModelDescription:
        """What the model is."""

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        """Tokenize texts, prompt included, in their order. Called from several threads."""

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch, padded to its longest text. Called from one thread at a time.

        Returns:
            float32, shape (len(batch), dimension), row i for batch[i].
        """
