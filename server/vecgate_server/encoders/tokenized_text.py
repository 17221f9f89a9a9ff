"""What a model reads of one text, or of one pair of texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """What the model reads of one text, or of a query and a text together.

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
