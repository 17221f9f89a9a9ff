"""The shorter lengths that a model's vectors may be cut to: its own declaration and the settings'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vecgate_server.encoders.base import ModelDescription, ModelKind
from vecgate_server.encoders.model_files import modules_of, read_json
from vecgate_server.errors import ModelUnavailableError

# The key by which published models declare them; vLLM and SGLang read it too.
KEY = "matryoshka_dimensions"


def declared_dimensions(directory: Path, dimension: int) -> tuple[int, ...]:
    """Read what a model declares in the configuration of its transformer or of sentence-transformers.

    Args:
        directory: the model.
        dimension: length of its vectors; a declared length that is not shorter is no way to cut them, and left out.

    Raises:
        ValueError: it declares something else than lengths.
    """
    paths = dict.fromkeys(
        (
            directory / "config_sentence_transformers.json",
            directory / "config.json",
            modules_of(directory)[0].directory / "config.json",
        )
    )
    declared = [length for path in paths for length in read_json(path).get(KEY) or ()]
    if not all(type(length) is int and length > 0 for length in declared):
        raise ValueError(f"its {KEY} are not lengths: {declared}")
    return tuple(sorted({length for length in declared if length < dimension}))


def with_dimensions_of_settings(model: ModelDescription, lengths: Sequence[int]) -> ModelDescription:
    """Add the lengths that the settings name for a model to those that it declares.

    Raises:
        ModelUnavailableError: a length is not shorter than the model's vectors, or the model has no vectors.
    """
    if not lengths:
        return model
    if model.kind is ModelKind.CROSS_ENCODER:
        raise ModelUnavailableError(f"model {model.name} is a cross-encoder: it has no vectors, so no {KEY}")
    too_long = [length for length in lengths if length >= model.dimension]
    if too_long:
        raise ModelUnavailableError(
            f"model {model.name} has {model.dimension} dimensions; its {KEY} must be smaller, unlike "
            f"{', '.join(map(str, too_long))}"
        )
    return replace(model, matryoshka_dimensions=tuple(sorted({*model.matryoshka_dimensions, *lengths})))
