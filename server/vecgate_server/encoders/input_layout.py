"""How tokenized texts become a model's input: one array a name, padded to the longest text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.tokenized_text import TokenizedText

# The inputs of text models, by the names that transformers gives them, and their rows for one text.
ROWS: Mapping[str, Callable[[TokenizedText], NDArray[np.int32]]] = {
    "input_ids": lambda text: text.token_ids,
    "token_type_ids": lambda text: text.type_ids,
    "attention_mask": lambda text: np.ones(len(text), dtype=np.int32),
}


@dataclass(frozen=True, slots=True)
class InputLayout:
    """The inputs that a model takes and how it wants them padded.

    Attributes:
        padding: the inputs, each a key of ROWS, and the value of their padded positions.
        pads_left: texts stand at the end of their rows.
        prompt_tokens: by role, the tokens of the prompt before each text, where there is one.
        pools_prompt: whether pooling takes the prompt's tokens too.
    """

    padding: Mapping[str, int]
    pads_left: bool = False
    prompt_tokens: Mapping[Role, int] = field(default_factory=dict)
    pools_prompt: bool = True

    @property
    def has_pooling_mask(self) -> bool:
        """Whether pooling takes other tokens than attention does."""
        return bool(self.prompt_tokens) and not self.pools_prompt

    def arrays(self, batch: Sequence[TokenizedText]) -> dict[str, NDArray[np.int64]]:
        """Build the inputs of a batch: int64, shape (len(batch), longest text, 1 at least)."""
        return {name: self._padded([ROWS[name](text) for text in batch], value) for name, value in self.padding.items()}

    def pooling_mask(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.int64]:
        """Mark with 1 the tokens that are pooled: int64, shape (len(batch), longest text, 1 at least)."""
        left_out = 0 if self.pools_prompt else self.prompt_tokens.get(role, 0)
        return self._padded([(np.arange(len(text)) >= left_out).astype(np.int32) for text in batch], 0)

    def _padded(self, rows: Sequence[NDArray[np.int32]], value: int) -> NDArray[np.int64]:
        # A model without special tokens reads no token of an empty text; runtimes want one column at least.
        longest = max(1, *map(len, rows))
        padded = np.full((len(rows), longest), value, dtype=np.int64)
        for row, content in zip(padded, rows, strict=True):
            start = longest - len(content) if self.pads_left else 0
            row[start : start + len(content)] = content
        return padded
