"""The served form of a model: a directory with its graph, its tokenizer and all that is needed to know beside them.

It is made from a sentence-transformers model once and needs nothing but ONNX Runtime and the tokenizer's library to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from vecgate_server.encoders.agreement import Agreement
from vecgate_server.encoders.base import ModelKind
from vecgate_server.encoders.input_layout import InputLayout
from vecgate_server.encoders.model_files import sha256_of
from vecgate_server.encoders.settings import Precision

# Raised whenever a directory of before would be read wrongly, or fingerprints are made in another way.
FORMAT = 2
GRAPH_REVISION = 2
"""Raised whenever graphs are written otherwise than before, so that caches make them anew; old ones still run."""
SETTINGS_FILE = "served.json"
GRAPH_FILE = "model.onnx"
# Beside the graph, so that it is mapped and not read: of an embedding only the rows that texts use come into memory.
WEIGHTS_FILE = "model.weights"
TOKENIZER_FILE = "tokenizer.json"
FORM_FILES = (GRAPH_FILE, WEIGHTS_FILE, TOKENIZER_FILE)


class ServedFormError(Exception):
    """A model has no sound served form: it cannot be made, is damaged or of another version; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedForm:
    """What served.json says.

    Attributes:
        kind, fingerprint, dimension, max_tokens, query_prompt, document_prompt, normalized: see ModelDescription.
        matryoshka_dimensions: those that the model itself declares, ascending.
        precision: the class in which the graph computes.
        truncation_side: the side that is cut off texts that are too long.
        adds_special_tokens: whether the model reads special tokens around a text.
        layout: the graph's inputs. With layout.has_pooling_mask it has the further input "pooling_mask". Its one output is
            float32 of shape (batch, dimension): vectors, or a cross-encoder's scores.
        agreement: how near the graph came to torch when it was checked.
        wanted: how near it had to come.
        made_with: versions of the libraries that made it.
        files: SHA-256 (64 hex digits) of the files beside.
        format: the version of this form.
    """

    kind: ModelKind
    fingerprint: str
    dimension: int
    max_tokens: int
    query_prompt: str
    document_prompt: str
    normalized: bool
    matryoshka_dimensions: tuple[int, ...]
    precision: Precision
    truncation_side: Literal["left", "right"]
    adds_special_tokens: bool
    layout: InputLayout
    agreement: Agreement
    wanted: Agreement
    made_with: Mapping[str, str]
    files: Mapping[str, str]
    format: int = FORMAT


_adapter = TypeAdapter(ServedForm)


def is_served_form(directory: Path) -> bool:
    """Whether a directory claims to be a served form."""
    return (directory / SETTINGS_FILE).is_file()


def write_settings(form: ServedForm, directory: Path) -> None:
    """Write served.json into the directory that holds the graph and the tokenizer.

    Raises:
        OSError: it cannot be written.
    """
    (directory / SETTINGS_FILE).write_bytes(_adapter.dump_json(form, indent=2) + b"\n")


def read_served_form(directory: Path) -> ServedForm:
    """Read served.json and check every file against it.

    Raises:
        ServedFormError: a file is missing or damaged, or the form is of another version.
    """
    try:
        text = (directory / SETTINGS_FILE).read_bytes()
        settings = json.loads(text)
        made_as = settings.get("format") if isinstance(settings, dict) else None
        if made_as != FORMAT:
            raise ServedFormError(f"{directory} has version {made_as} of the served form; this one reads {FORMAT}")
        form = _adapter.validate_json(text)
        digests = {name: sha256_of(directory / name) for name in FORM_FILES}
    except ValidationError as error:
        raise ServedFormError(f"{directory / SETTINGS_FILE} cannot be read: {error.error_count()} faults") from error
    except ValueError as error:
        raise ServedFormError(f"{directory / SETTINGS_FILE} cannot be read: {error}") from error
    except OSError as error:
        raise ServedFormError(f"{directory} lacks a file of the served form: {error}") from error
    damaged = [name for name, digest in digests.items() if form.files.get(name) != digest]
    if damaged:
        raise ServedFormError(f"{directory} is damaged: {', '.join(damaged)} changed after it was made")
    return form
