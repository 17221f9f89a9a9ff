"""What is wrong with a setting, as one line: its path, the fault and a suggestion."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vecgate_backends.errors import ConfigurationError

SECRETS_IN = (("backends",), ("telemetry", "traces", "headers"))
"""Paths below which a secret may stand, also in a wrong place: of what is wrong there only the path is told."""

OF_TYPES = {
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}
"""Sentences in the place of those that speak of Python's types."""


class InvalidSettingsError(ConfigurationError):
    """The file or the environment holds a wrong key or value; the message is one line with its path."""


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return '; did you mean "x"?' for the known word nearest to this one, or nothing if none is near."""
    spelt = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), spelt, n=1, cutoff=cutoff)
    return f"; did you mean {spelt[near[0]]!r}?" if near else ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say that a key is unknown, and which one may be meant or which there are."""
    names = list(known)
    return f"unknown key {key!r}{closest(key, names) or '; known are: ' + ', '.join(names)}"


def describe_fault(invalid: ValidationError, model: type[BaseModel], *, secret: bool = False) -> str:
    """Describe the first fault of a settings model, and how many more there are; the values are left out where they may be secret."""
    faults = invalid.errors(include_url=False)
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{_path(first)}: {_sentence(first, model, secret=secret)}{more}"


def _path(fault: ErrorDetails) -> str:
    path = ""
    for step in fault["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.lstrip(".") or "settings"


def _sentence(fault: ErrorDetails, model: type[BaseModel], *, secret: bool) -> str:
    if fault["type"] == "extra_forbidden":
        *parents, key = fault["loc"]
        return unknown_key(str(key), _keys_at(parents, model))
    sentence = OF_TYPES.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    sentence = sentence[:1].lower() + sentence[1:]
    if secret or any(fault["loc"][: len(path)] == path for path in SECRETS_IN):
        return sentence
    given = fault["input"]
    if fault["type"] == "literal_error":
        allowed = re.findall("'([^']*)'", fault["msg"])
        return f"{sentence}, not {given!r}{closest(str(given), allowed)}"
    return f"{sentence}, not {given!r}" if isinstance(given, str | int | float | bool | None) else sentence


def _keys_at(parents: Iterable[int | str], model: type[BaseModel]) -> list[str]:
    """Find the keys that the model at a path knows; steps into lists and mappings keep to their element's model."""
    here = model
    for step in parents:
        annotation = here.model_fields[step].annotation if step in here.model_fields else here
        here = next(_models_in(annotation), here)
    return list(here.model_fields)


def _models_in(annotation: object) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
