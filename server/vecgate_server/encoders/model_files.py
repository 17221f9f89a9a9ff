"""The files of a sentence-transformers model directory: its modules, their configuration, weights and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from vecgate_server.encoders.base import ModelKind

# The loaders' own order of preference: the first form that exists is the one that is read.
WEIGHT_FORMS = (
    ("model.safetensors", ("model.safetensors",)),
    ("model.safetensors.index.json", ("model-*.safetensors",)),
    ("pytorch_model.bin", ("pytorch_model.bin",)),
    ("pytorch_model.bin.index.json", ("pytorch_model-*.bin",)),
)
# Every file that is neither weights nor for people: configurations, tokenizers, vocabularies.
SETTINGS_SUFFIXES = frozenset({".json", ".txt", ".model"})
CONFIGURED_MODULES = frozenset({"Transformer", "Pooling", "Dense", "LayerNorm"})
WEIGHED_MODULES = frozenset({"Transformer", "StaticEmbedding", "Dense", "LayerNorm"})
# What config.json names as the class of a model that transformers alone saved and CrossEncoder reads.
CLASSIFIER = "ForSequenceClassification"
# tokenizer.json says everything; only without it are the vocabularies read.
TOKENIZER_FORMS = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("sentencepiece.bpe.model",),
    ("spiece.model",),
    ("tokenizer.model",),
)


@dataclass(frozen=True, slots=True)
class ModuleFiles:
    """One module of a model, in the order in which they are applied.

    Attributes:
        kind: its class's name without the package, such as "Pooling"; packages moved between versions.
        directory: where its configuration and weights lie.
    """

    kind: str
    directory: Path


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON object; a missing file is an empty one.

    Raises:
        ValueError: the file is not JSON.
    """
    if not path.is_file():
        return {}
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def kind_of(directory: Path) -> ModelKind:
    """Tell what a model is for, by its files; what says nothing is taken for an encoder.

    Raises:
        ValueError: a configuration is not JSON.
    """
    if (directory / "modules.json").is_file():
        library = read_json(directory / "config_sentence_transformers.json")
        return ModelKind.CROSS_ENCODER if library.get("model_type") == "CrossEncoder" else ModelKind.ENCODER
    architectures = read_json(directory / "config.json").get("architectures") or [""]
    return ModelKind.CROSS_ENCODER if str(architectures[0]).endswith(CLASSIFIER) else ModelKind.ENCODER


def modules_of(directory: Path) -> tuple[ModuleFiles, ...]:
    """List the modules that modules.json names; a cross-encoder without one is a single transformer.

    Raises:
        ValueError: there is no modules.json and it is no cross-encoder, or it is not a list of modules.
    """
    listing = directory / "modules.json"
    if not listing.is_file():
        if kind_of(directory) is ModelKind.CROSS_ENCODER:
            return (ModuleFiles(kind="Transformer", directory=directory),)
        raise ValueError(f"{directory} holds no modules.json, so it is not a sentence-transformers model")
    modules = json.loads(listing.read_text(encoding="utf-8"))
    try:
        return tuple(
            ModuleFiles(kind=module["type"].rpartition(".")[2], directory=directory / module["path"])
            for module in modules
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{listing} is not a list of modules with a type and a path") from error


def weight_files(directory: Path) -> tuple[Path, ...]:
    """List the weight files that a loader reads from a module's directory, sorted; a module may have none."""
    for marker, patterns in WEIGHT_FORMS:
        if (directory / marker).is_file():
            return tuple(sorted(path for pattern in patterns for path in directory.glob(pattern)))
    return ()


def tokenizer_files(directory: Path) -> tuple[Path, ...]:
    """List the files that define the tokenizer; a module may have none."""
    for names in TOKENIZER_FORMS:
        paths = tuple(directory / name for name in names)
        if all(path.is_file() for path in paths):
            return paths
    return ()


def is_complete(directory: Path) -> bool:
    """Whether a directory holds every file that loading needs; a download may have been interrupted."""
    try:
        modules = modules_of(directory)
    except ValueError:
        return False
    return (
        bool(tokenizer_files(modules[0].directory))
        and all((module.directory / "config.json").is_file() for module in modules if module.kind in CONFIGURED_MODULES)
        and all(weight_files(module.directory) for module in modules if module.kind in WEIGHED_MODULES)
    )


def sha256_of(path: Path) -> str:
    """Return the 64 hex digits of a file's SHA-256; a file that did not change is read once a process.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    return _sha256_of_state(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_of_state(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
