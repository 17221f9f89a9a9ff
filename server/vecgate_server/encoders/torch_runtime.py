"""What sentence-transformers' models are in torch, in fp32: the reference for every other runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer
from tokenizers import Tokenizer

from vecgate_server.encoders.base import ModelDescription, Role
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.tokenizer import TextTokenizer


class TorchRuntime:
    """One model in torch: the part that is the same for every kind; this class runs encoders that begin with a transformer.

    Torch takes threads of its own for each caller, so concurrent runs would crowd the cores. It tokenizes by itself, because
    the wrappers cost ten times the tokenizer, and pads itself.

    Attributes:
        backend_tokenizer: the model's own tokenizer, without the wrappers.
        truncation_side, adds_special_tokens: see TextTokenizer.
    """

    concurrent = False
    adds_special_tokens = True

    def __init__(
        self,
        model: SentenceTransformer | CrossEncoder,
        description: ModelDescription,
        layout: InputLayout,
        device: str,
    ) -> None:
        """Take a loaded model, in fp32 and on its device, and how its input is laid out."""
        self.model = model
        self.layout = layout
        self.description = description
        self.tokenizer = TextTokenizer(
            self.backend_tokenizer,
            max_tokens=description.max_tokens,
            prompts={Role.QUERY: description.query_prompt, Role.DOCUMENT: description.document_prompt},
            truncation_side=self.truncation_side,
            adds_special_tokens=self.adds_special_tokens,
        )
        self._device = device

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The model's own tokenizer."""
        wrapped: Any = self.model.tokenizer
        tokenizer: Tokenizer = wrapped.backend_tokenizer
        return tokenizer

    @property
    def truncation_side(self) -> Literal["left", "right"]:
        """The side that is cut off texts that are too long."""
        wrapped: Any = self.model.tokenizer
        return "left" if wrapped.truncation_side == "left" else "right"

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch; see Runtime.forward."""
        with torch.inference_mode():
            output = self.output(self.model(self.features(batch, role)))
        array: NDArray[np.float32] = output.to(device="cpu", dtype=torch.float32).numpy()
        return array

    def features(self, batch: Sequence[TokenizedText], role: Role) -> dict[str, Any]:
        """Build the model's input: int64 tensors of shape (len(batch), longest), padded as the model wants it."""
        features: dict[str, Any] = {
            name: torch.from_numpy(array).to(self._device) for name, array in self.layout.arrays(batch).items()
        }
        if role in self.layout.prompt_tokens:
            features["prompt_length"] = self.layout.prompt_tokens[role]
        return features

    def output(self, features: dict[str, Any]) -> torch.Tensor:
        """Take what the model answers, shape (batch, dimension), out of what its modules leave behind."""
        # A model may be saved with a truncate_dim, to which encode() cuts.
        vectors: torch.Tensor = features["sentence_embedding"][:, : self.description.dimension]
        return vectors


class CrossEncoderRuntime(TorchRuntime):
    """One cross-encoder in torch."""

    def output(self, features: dict[str, Any]) -> torch.Tensor:
        """Take the score of each pair, after the model's own activation; shape (batch, 1)."""
        model: Any = self.model
        scores: torch.Tensor = model.activation_fn(features["scores"])
        return scores.reshape(-1, 1)


class StaticEmbeddingRuntime(TorchRuntime):
    """One model that begins with the mean of its tokens' own vectors; it reads no special tokens."""

    adds_special_tokens = False

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The model's own tokenizer."""
        first: Any = self.model[0]
        tokenizer: Tokenizer = first.tokenizer
        return tokenizer

    @property
    def truncation_side(self) -> Literal["left", "right"]:
        """The side that is cut off texts that are too long."""
        truncation = self.backend_tokenizer.truncation
        return "left" if truncation and truncation["direction"] == "left" else "right"

    def features(self, batch: Sequence[TokenizedText], role: Role) -> dict[str, Any]:  # noqa: ARG002  # it has no roles
        """Build the model's input: all texts behind one another, and where each begins."""
        starts = np.cumsum([0, *map(len, batch[:-1])])
        token_ids = np.concatenate([text.token_ids for text in batch]).astype(np.int64)
        return {
            "input_ids": torch.from_numpy(token_ids).to(self._device),
            "offsets": torch.from_numpy(starts).to(self._device),
        }
