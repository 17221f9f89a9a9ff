"""Loading models with sentence-transformers, which is the source of truth about what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers.utils import logging as transformers_logging

from vecgate_server.encoders.base import ModelDescription, ModelKind, Role
from vecgate_server.encoders.fingerprint import fingerprint
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.locate import ModelLocation
from vecgate_server.encoders.matryoshka import declared_dimensions
from vecgate_server.encoders.model_files import kind_of
from vecgate_server.encoders.settings import Precision
from vecgate_server.encoders.torch_runtime import CrossEncoderRuntime, StaticEmbeddingRuntime, TorchRuntime
from vecgate_server.errors import ModelUnavailableError

# The names that sentence-transformers' encode_query and encode_document look for, in their order.
PROMPT_NAMES: Mapping[Role, tuple[str, ...]] = {
    Role.QUERY: ("query",),
    Role.DOCUMENT: ("document", "passage", "corpus"),
}
STATIC = "StaticEmbedding"
# A static model itself has no maximum. Its graph holds a vector for each token of a text at once: 128 MiB of them for this
# many, at the 1,024 dimensions of the widest published one.
MOST_STATIC_TOKENS = 32_768
PROBES = ("", "Größe \x00 [SEP] 日本", "cat " * 40)


def load(
    location: ModelLocation,
    name: str,
    *,
    device: str = "cpu",
    threads: int = 0,
    runtime_reason: str = "",
    precision: Precision = Precision.FP32,
) -> TorchRuntime:
    """Load a model from its directory into torch. Blocks.

    Args:
        location: where the model is.
        name: what requests call it.
        device: a torch device, such as "cpu" or "cuda".
        threads: CPU threads of torch in the whole process; 0 leaves torch's choice.
        runtime_reason: why torch runs the model.
        precision: the class that the description and the fingerprint name. Torch computes in fp32; another class is that of
            the graph that is to be made of the model.

    Raises:
        ModelUnavailableError: the directory is damaged, or the model is of a kind that is not served.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers is half typed
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        if kind_of(location.directory) is ModelKind.CROSS_ENCODER:
            return _load_cross_encoder(location, name, device, runtime_reason, precision)
        return _load_encoder(location, name, device, runtime_reason, precision)
    except ModelUnavailableError:
        raise
    except Exception as error:
        # Damaged files surface as whatever the reader of that file raises.
        raise ModelUnavailableError(
            f"model {name} cannot be loaded from {location.source}: {type(error).__name__}: {error}"
        ) from error


def _load_encoder(
    location: ModelLocation, name: str, device: str, runtime_reason: str, precision: Precision
) -> TorchRuntime:
    model = SentenceTransformer(str(location.directory), device=device, local_files_only=True)
    model.float().eval()
    is_static = type(model[0]).__name__ == STATIC
    if not is_static:
        _check_begins_with_transformer(model, name)
    description = _describe_encoder(model, name, location, runtime_reason, precision)
    runtime = (
        StaticEmbeddingRuntime(model, description, _static_layout(), device)
        if is_static
        else TorchRuntime(model, description, _layout(model, _prompts(model)), device)
    )
    # A static model reads a long text to its end, which is far beyond what would show a difference.
    probes = PROBES if is_static else (*PROBES, "word " * (2 * description.max_tokens))
    for role, prompt in _prompts(model).items():
        expected = model.preprocess(list(probes), prompt=prompt or None, task=role.value)
        _check_features(runtime.features(runtime.tokenizer.tokenize(probes, role), role), expected, name)
    return runtime


def _load_cross_encoder(
    location: ModelLocation, name: str, device: str, runtime_reason: str, precision: Precision
) -> TorchRuntime:
    model = CrossEncoder(str(location.directory), device=device, local_files_only=True)
    model.float().eval()
    _check_begins_with_transformer(model, name)
    if model.num_labels != 1:
        raise ModelUnavailableError(
            f"model {name} gives {model.num_labels} labels for a pair; served are cross-encoders that give one score"
        )
    description = _describe_cross_encoder(model, name, location, runtime_reason, precision)
    runtime = CrossEncoderRuntime(model, description, _layout(model, {Role.QUERY: description.query_prompt}), device)
    # The texts are longer and shorter than what is left beside the query.
    probes = (*PROBES, "word " * (2 * description.max_tokens))
    for query in (*PROBES, "mat " * description.max_tokens):
        expected = model.preprocess([[query, text] for text in probes], prompt=description.query_prompt or None)
        tokenized = runtime.tokenizer.tokenize_pairs(query, probes)
        _check_features(runtime.features(tokenized, Role.QUERY), expected, name)
    return runtime


def _check_begins_with_transformer(model: SentenceTransformer | CrossEncoder, name: str) -> None:
    wrapped: Any = getattr(model[0], "tokenizer", None)
    if type(model[0]).__name__ != "Transformer" or not getattr(wrapped, "is_fast", False):
        raise ModelUnavailableError(
            f"model {name} begins with {type(model[0]).__name__}; served are transformers with a fast tokenizer and "
            f"{STATIC}"
        )


def _check_features(built: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose input is made in a way that is not known here, such as a chat template."""
    for key in built.keys() | (expected.keys() - {"modality"}):
        if not np.array_equal(np.asarray(_on_cpu(built.get(key))), np.asarray(_on_cpu(expected.get(key)))):
            raise ModelUnavailableError(f"model {name} prepares its input in a way that is not served ({key})")


def _on_cpu(feature: object) -> object:
    return feature.cpu() if isinstance(feature, torch.Tensor) else feature


def _prompts(model: SentenceTransformer) -> dict[Role, str]:
    fallback = model.prompts.get(model.default_prompt_name or "", "")
    return {
        role: next((model.prompts[name] for name in names if name in model.prompts), fallback) or ""
        for role, names in PROMPT_NAMES.items()
    }


def _max_tokens(model: SentenceTransformer | CrossEncoder, name: str) -> int:
    first: Any = model[0]
    if type(first).__name__ == STATIC:
        # Its tokenizer may cut texts of its own accord.
        truncation = first.tokenizer.truncation
        return min(MOST_STATIC_TOKENS, truncation["max_length"] if truncation else MOST_STATIC_TOKENS)
    limit = model.max_seq_length
    # A tokenizer without a limit declares 1e30.
    if limit is None or not math.isfinite(limit) or limit > np.iinfo(np.int32).max:
        raise ModelUnavailableError(
            f"model {name} declares no maximum length; set max_seq_length in its sentence_bert_config.json"
        )
    return int(limit)


def _describe_encoder(
    model: SentenceTransformer, name: str, location: ModelLocation, runtime_reason: str, precision: Precision
) -> ModelDescription:
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
            precision=precision,
        ),
        dimension=dimension,
        max_tokens=max_tokens,
        query_prompt=prompts[Role.QUERY],
        document_prompt=prompts[Role.DOCUMENT],
        normalized=type(model[-1]).__name__ == "Normalize" and model.truncate_dim is None,
        runtime="torch",
        runtime_reason=runtime_reason,
        source=location.source,
        precision=precision,
        matryoshka_dimensions=declared_dimensions(location.directory, dimension),
    )


def _describe_cross_encoder(
    model: CrossEncoder, name: str, location: ModelLocation, runtime_reason: str, precision: Precision
) -> ModelDescription:
    activation = type(model.activation_fn)
    max_tokens = _max_tokens(model, name)
    return ModelDescription(
        name=name,
        fingerprint=fingerprint(
            location.directory,
            max_tokens=max_tokens,
            dimension=1,
            document_prompt="",
            precision=precision,
            activation=f"{activation.__module__}.{activation.__qualname__}",
        ),
        dimension=1,
        max_tokens=max_tokens,
        # predict() puts the default prompt before the first of a pair.
        query_prompt=model.prompts.get(model.default_prompt_name or "", "") or "",
        document_prompt="",
        normalized=False,
        runtime="torch",
        runtime_reason=runtime_reason,
        source=location.source,
        precision=precision,
        kind=ModelKind.CROSS_ENCODER,
    )


def _layout(model: SentenceTransformer | CrossEncoder, prompts: Mapping[Role, str]) -> InputLayout:
    wrapped: Any = model.tokenizer
    padding = {
        "input_ids": wrapped.pad_token_id or 0,
        "token_type_ids": wrapped.pad_token_type_id,
        "attention_mask": 0,
    }
    lengths = {role: _prompt_length(model, prompt) for role, prompt in prompts.items()}
    return InputLayout(
        padding={name: value for name, value in padding.items() if name in wrapped.model_input_names},
        pads_left=wrapped.padding_side == "left",
        prompt_tokens={role: length for role, length in lengths.items() if length is not None},
        pools_prompt=all(getattr(module, "include_prompt", True) for module in model),
    )


def _static_layout() -> InputLayout:
    """The inputs of a static model's graph; in torch it takes no padding."""
    return InputLayout(padding={"input_ids": 0, "attention_mask": 0})


def _prompt_length(model: SentenceTransformer | CrossEncoder, prompt: str) -> int | None:
    """Count the prompt's tokens as sentence-transformers does, for poolings that leave the prompt out."""
    if not prompt:
        return None
    length: Any = model.preprocess([""], prompt=prompt).get("prompt_length")
    return None if length is None else int(length)
