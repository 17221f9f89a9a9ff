"""The runtime that sentence-transformers itself gives: torch, in fp32. It is the reference for every other runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from vecgate_server.encoders.base import ModelDescription, Role
from vecgate_server.encoders.fingerprint import fingerprint
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.tokenizer import TextTokenizer
from vecgate_server.errors import ModelUnavailableError

# The names that sentence-transformers' encode_query and encode_document look for, in their order.
PROMPT_NAMES: Mapping[Role, tuple[str, ...]] = {
    Role.QUERY: ("query",),
    Role.DOCUMENT: ("document", "passage", "corpus"),
}


class SentenceTransformersRuntime:
    """One model in torch. Torch takes threads of its own for each caller, so concurrent runs would crowd the cores.

    It tokenizes by itself, because the wrappers cost ten times the tokenizer, and pads itself.
    """

    concurrent = False

    def __init__(
        self, model: SentenceTransformer, tokenizer: TextTokenizer, description: ModelDescription, device: str
    ) -> None:
        """Take a loaded model, in fp32 and on its device, and the tokenizer that reads as it does."""
        self.model = model
        self.layout = _layout(model)
        self.description = description
        self.tokenizer = tokenizer
        self._device = device

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:
        """Run the model on a batch; see Runtime.forward."""
        with torch.inference_mode():
            vectors = self.model(self.features(batch, role))["sentence_embedding"]
        array: NDArray[np.float32] = vectors.to(device="cpu", dtype=torch.float32).numpy()
        return array

    def features(self, batch: Sequence[TokenizedText], role: Role) -> dict[str, Any]:
        """Build the model's input: int64 tensors of shape (len(batch), longest), padded as the model wants it."""
        features: dict[str, Any] = {
            name: torch.from_numpy(array).to(self._device) for name, array in self.layout.arrays(batch).items()
        }
        if role in self.layout.prompt_tokens:
            features["prompt_length"] = self.layout.prompt_tokens[role]
        return features


def load(
    location: ModelLocation, name: str, *, device: str = "cpu", threads: int = 0, runtime_reason: str = ""
) -> SentenceTransformersRuntime:
    """Load a model from its directory into torch. Blocks.

    Args:
        location: where the model is.
        name: what requests call it.
        device: a torch device, such as "cpu" or "cuda".
        threads: CPU threads of torch in the whole process; 0 leaves torch's choice.
        runtime_reason: why torch runs the model.

    Raises:
        ModelUnavailableError: the directory is damaged, or the model is of a kind that is not served.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers is half typed
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        model = SentenceTransformer(str(location.directory), device=device, local_files_only=True)
        model.float().eval()
        tokenizer = _text_tokenizer(model, name)
        description = _describe(model, name, location, runtime_reason)
        runtime = SentenceTransformersRuntime(model, tokenizer, description, device)
        _check_features(runtime, model, name)
    except ModelUnavailableError:
        raise
    except Exception as error:
        # Damaged files surface as whatever the reader of that file raises.
        raise ModelUnavailableError(
            f"model {name} cannot be loaded from {location.source}: {type(error).__name__}: {error}"
        ) from error
    return runtime


def _prompts(model: SentenceTransformer) -> dict[Role, str]:
    fallback = model.prompts.get(model.default_prompt_name or "", "")
    return {
        role: next((model.prompts[name] for name in names if name in model.prompts), fallback) or ""
        for role, names in PROMPT_NAMES.items()
    }


def _max_tokens(model: SentenceTransformer, name: str) -> int:
    limit = model.max_seq_length
    # A tokenizer without a limit declares 1e30.
    if limit is None or not math.isfinite(limit) or limit > np.iinfo(np.int32).max:
        raise ModelUnavailableError(
            f"model {name} declares no maximum length; set max_seq_length in its sentence_bert_config.json"
        )
    return int(limit)


def _text_tokenizer(model: SentenceTransformer, name: str) -> TextTokenizer:
    wrapped: Any = getattr(model[0], "tokenizer", None)
    if type(model[0]).__name__ != "Transformer" or not getattr(wrapped, "is_fast", False):
        raise ModelUnavailableError(
            f"model {name} begins with {type(model[0]).__name__}; served are transformers with a fast tokenizer"
        )
    return TextTokenizer(
        wrapped.backend_tokenizer,
        max_tokens=_max_tokens(model, name),
        prompts=_prompts(model),
        truncation_side=wrapped.truncation_side,
    )


def _describe(model: SentenceTransformer, name: str, location: ModelLocation, runtime_reason: str) -> ModelDescription:
    prompts = _prompts(model)
    max_tokens = _max_tokens(model, name)
    dimension = model.get_embedding_dimension()
    if dimension is None:
        raise ModelUnavailableError(f"model {name} does not tell the dimension of its vectors")
    return ModelDescription(
        name=name,
        fingerprint=fingerprint(
            location.directory,
            max_tokens=max_tokens,
            dimension=dimension,
            document_prompt=prompts[Role.DOCUMENT],
        ),
        dimension=dimension,
        max_tokens=max_tokens,
        query_prompt=prompts[Role.QUERY],
        document_prompt=prompts[Role.DOCUMENT],
        normalized=type(model[-1]).__name__ == "Normalize",
        runtime="torch",
        runtime_reason=runtime_reason,
        source=location.source,
    )


def _layout(model: SentenceTransformer) -> InputLayout:
    wrapped: Any = model.tokenizer
    padding = {
        "input_ids": wrapped.pad_token_id or 0,
        "token_type_ids": wrapped.pad_token_type_id,
        "attention_mask": 0,
    }
    lengths = {role: _prompt_length(model, prompt) for role, prompt in _prompts(model).items()}
    return InputLayout(
        padding={name: value for name, value in padding.items() if name in wrapped.model_input_names},
        pads_left=wrapped.padding_side == "left",
        prompt_tokens={role: length for role, length in lengths.items() if length is not None},
        pools_prompt=all(getattr(module, "include_prompt", True) for module in model),
    )


def _prompt_length(model: SentenceTransformer, prompt: str) -> int | None:
    """Count the prompt's tokens as sentence-transformers does, for poolings that leave the prompt out."""
    if not prompt:
        return None
    length: Any = model.preprocess([""], prompt=prompt).get("prompt_length")
    return None if length is None else int(length)


def _check_features(runtime: SentenceTransformersRuntime, model: SentenceTransformer, name: str) -> None:
    """Refuse a model whose input is made in a way that this runtime does not know, such as a chat template."""
    probes = ["", "Größe \x00 [SEP] 日本", "word " * (2 * runtime.description.max_tokens)]
    for role, prompt in _prompts(model).items():
        expected = model.preprocess(probes, prompt=prompt or None, task=role.value)
        built = runtime.features(runtime.tokenizer.tokenize(probes, role), role)
        for key in built.keys() | (expected.keys() - {"modality"}):
            if not np.array_equal(np.asarray(built.get(key)), np.asarray(expected.get(key))):
                raise ModelUnavailableError(f"model {name} prepares its input in a way that is not served ({key})")
