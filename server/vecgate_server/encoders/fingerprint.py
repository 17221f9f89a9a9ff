"""The fingerprint of a model: one hash over everything that shapes the vectors of its documents, or its scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vecgate_server.encoders.model_files import (
    ModuleFiles,
    modules_of,
    read_json,
    sha256_of,
    tokenizer_files,
    weight_files,
)

# What a library notes about the file itself; vectors do not depend on it.
PROVENANCE_KEYS = frozenset(
    {
        "_name_or_path",
        "architectures",
        "dtype",  # the precision class says in which precision the model runs
        "gradient_checkpointing",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
# What a tokenizer's configuration may change in the behaviour of its vocabulary.
TOKENIZER_BEHAVIOUR_KEYS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
# The flags of older pooling configurations and the modes that newer ones name, in the order in which they concatenate.
POOLING_MODES_OF_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def fingerprint(
    directory: Path,
    *,
    max_tokens: int,
    dimension: int,
    document_prompt: str,
    precision: str = "fp32",
    activation: str | None = None,
) -> str:
    """Return "sha256:" and 64 hex digits over the document side of a sentence-transformers model.

    It covers the weights, the tokenizer, the maximum length, every module's kind, configuration and order (pooling,
    dense layers, normalisation), the dimension, the document prompt and the precision class. Where the files lie, the
    query prompt and notes about provenance do not count, so a copy of a model has the model's fingerprint.

    Args:
        directory: the model, as sentence-transformers saves it.
        max_tokens: most tokens read of one text, special tokens included.
        dimension: length of the vectors.
        document_prompt: what is put before documents.
        precision: the precision class of the forward pass.
        activation: the function that a cross-encoder puts after its scores; None for other models.

    Raises:
        ValueError: the directory is not a sentence-transformers model.
        OSError: a file cannot be read.
    """
    transformer, *others = modules_of(directory)
    identity: dict[str, Any] = {
        "dimension": dimension,
        "document_prompt": document_prompt,
        "max_tokens": max_tokens,
        "modules": [_module(module) for module in others],
        "precision": precision,
        "tokenizer": _tokenizer(transformer.directory),
        "transformer": _module(transformer),
    }
    if activation is not None:
        identity["activation"] = activation
    return _hash(identity)


def _hash(identity: Mapping[str, Any]) -> str:
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _module(module: ModuleFiles) -> Mapping[str, Any]:
    config = {
        key: value for key, value in read_json(module.directory / "config.json").items() if key not in PROVENANCE_KEYS
    }
    return {
        "kind": module.kind,
        "config": _pooling(config) if module.kind == "Pooling" else config,
        "weights": [sha256_of(path) for path in weight_files(module.directory)],
    }


def _pooling(config: Mapping[str, Any]) -> Mapping[str, Any]:
    # Two spellings of one configuration are one configuration.
    modes: str | Sequence[str] = config.get(
        "pooling_mode", [mode for flag, mode in POOLING_MODES_OF_FLAGS.items() if config.get(flag)] or "mean"
    )
    return {
        "modes": [modes] if isinstance(modes, str) else list(modes),
        "include_prompt": config.get("include_prompt", True),
    }


def _tokenizer(directory: Path) -> Mapping[str, Any]:
    behaviour = read_json(directory / "tokenizer_config.json")
    lower_case = read_json(directory / "sentence_bert_config.json").get("do_lower_case", False)
    return {
        "files": [sha256_of(path) for path in tokenizer_files(directory)],
        "behaviour": {key: behaviour[key] for key in TOKENIZER_BEHAVIOUR_KEYS if key in behaviour},
        "lower_case": bool(lower_case),
    }
