"""Metadata of frameworks, which may be nested, as vecgate's, which is flat; and back without loss.

What the wire holds stays as it is: strings, numbers, booleans, points in time, lists of strings. Anything else that JSON
holds (dictionaries, other lists) is kept as JSON text in one reserved field, from which it is read again. The leaves of a
dictionary are written beside it under their path, {"source": {"page": 3}} as "source.page" = 3, so that filters reach
them. A None is no value. What JSON does not hold is refused with its path, before anything is sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from vecgate.errors import InvalidArgumentError
from vecgate.records import MetadataInput, MetadataValue
from vecgate.timestamps import Timestamp

NESTED = "nested:json"
"""The reserved field: a JSON object of the values that are not flat, by name."""
RESERVED_PREFIXES = ("nested:", "haystack:")
"""Fields of a name that begins so are the adapters' own."""


def flat_metadata(metadata: Mapping[Any, Any], path: str) -> dict[str, MetadataInput]:
    """Make flat fields of metadata that may be nested.

    Args:
        metadata: name → value; it is not changed.
        path: where it stands, for errors.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at the value's path: a value that neither the wire nor JSON holds, a name that
            is not a string or is reserved, a leaf whose path is also the name of another field.
    """
    flat: dict[str, MetadataInput] = {}
    nested: dict[str, Any] = {}
    for name, value in metadata.items():
        here = f'{path}["{name}"]'
        check_name(name, path)
        if name.startswith(RESERVED_PREFIXES):
            raise unfit(here, f"names that begin with {' or '.join(RESERVED_PREFIXES)} are reserved")
        if value is None:
            continue
        if is_flat(value):
            flat[name] = value
        else:
            nested[name] = json_value(value, here)
    for leaf, value in leaves(nested):
        if leaf in flat:
            raise unfit(path, f'"{leaf}" is both a field and a leaf of a nested one, so a filter could mean either')
        flat[leaf] = value
    if nested:
        flat[NESTED] = json.dumps(nested, ensure_ascii=False, separators=(",", ":"))
    return flat


def nested_metadata(fields: Mapping[str, MetadataValue]) -> dict[str, Any]:
    """Make of a record's fields the metadata that it was written with.

    Lists of strings come back as lists, points in time as aware datetimes in UTC (as Timestamp below the microsecond).
    """
    text = fields.get(NESTED)
    nested: dict[str, Any] = json.loads(text) if isinstance(text, str) else {}
    beside = {leaf for leaf, _ in leaves(nested)}
    plain = {
        name: pythonic(value)
        for name, value in fields.items()
        if name not in beside and not name.startswith(RESERVED_PREFIXES)
    }
    return plain | nested


def is_flat(value: object) -> bool:
    """Whether the wire has a type for a value that is not None."""
    if isinstance(value, list | tuple):
        return all(isinstance(element, str) for element in value)
    return isinstance(value, str | int | float | bool | Timestamp | datetime | np.generic)


def json_value(value: Any, path: str) -> Any:
    """Check that JSON holds a value, and return it in JSON's types: tuples as lists, NumPy scalars as Python's.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at the path of what it does not hold.
    """
    match value.item() if isinstance(value, np.generic) else value:
        case None | bool() | str() | int() as plain:
            return plain
        case float() as number:
            if not math.isfinite(number):
                raise unfit(path, f"{number} is not finite")
            return number
        case list() | tuple() as elements:
            return [json_value(element, f"{path}[{index}]") for index, element in enumerate(elements)]
        case dict() as members:
            for name in members:
                check_name(name, path)
            return {name: json_value(member, f'{path}["{name}"]') for name, member in members.items()}
        case other:
            raise unfit(path, f"{type(other).__name__} cannot be kept inside of a nested value; write it as text")


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of what lies in dictionaries and is flat."""
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        elif prefix and value is not None and is_flat(value):
            yield f"{prefix}{name}", value


def check_name(name: object, path: str) -> None:
    """Check that the name of a field is a string.

    Raises:
        InvalidArgumentError: METADATA_VALUE: it is not.
    """
    if not isinstance(name, str):
        raise unfit(path, f"the field name {name!r} is not a string")


def unfit(path: str, description: str) -> InvalidArgumentError:
    """Build the error for a value that cannot be stored."""
    return InvalidArgumentError.at(path, description, reason="METADATA_VALUE")


def pythonic(value: MetadataValue) -> Any:
    """Make of a value what frameworks expect: lists of tuples, datetimes in UTC of points in time without nanoseconds."""
    match value:
        case tuple():
            return list(value)
        case Timestamp() if value.nanos % 1_000 == 0:
            return value.to_datetime()
        case _:
            return value
