"""The files of a sentence-transformers model directory: its modules, their configuration, weights and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

# The loaders' own order of preference: the first form that exists is the one that is read.
WEIGHT_FORMS = (
    ("model.safetensors", ("model.safetensors",)),
    ("model.safetensors.index.json", ("model-*.safetensors",)),
    ("pytorch_model.bin", ("pytorch_model.bin",)),
    ("pytorch_model.bin.index.json", ("pytorch_model-*.bin",)),
)
# Every file that is neither weights nor for people: configurations, tokenizers, vocabularies.
SETTINGS_SUFFIXES = frozenset({".json", ".txt", ".model"})
CONFIGURED_MODULES = frozenset({"Pooling", "Dense", "LayerNorm"})
WEIGHED_MODULES = frozenset({"Dense", "LayerNorm"})
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


def modules_of(directory: Path) -> tuple[ModuleFiles, ...]:
    """List the modules that modules.json names.

    Raises:
        ValueError: there is no modules.json, or it is not a list of modules.
    """
    listing = directory / "modules.json"
    if not listing.is_file():
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
        transformer, *others = modules_of(directory)
    except ValueError:
        return False
    return (
        bool(weight_files(transformer.directory))
        and bool(tokenizer_files(transformer.directory))
        and (transformer.directory / "config.json").is_file()
        and all((module.directory / "config.json").is_file() for module in others if module.kind in CONFIGURED_MODULES)
        and all(weight_files(module.directory) for module in others if module.kind in WEIGHED_MODULES)
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
