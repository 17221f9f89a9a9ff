"""The meta of a Haystack document as fields of a record, with what Haystack's filters need to mean here what they mean there.

Beside the fields of vecgate.nested_metadata, a record of this store has

- haystack:values, a list of strings, if meta holds lists or dictionaries: "composite:<path>" and "<digest>:<path>" for
  each. By these a list is told from a string that it contains, and compared with a whole list or dictionary.
- haystack:wall:<path> and haystack:instant:<path> for each date, as text or as a datetime (see moments.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import numpy as np

from vecgate.haystack.moments import moment_from
from vecgate.nested_metadata import NESTED, flat_metadata, nested_metadata
from vecgate.records import MetadataInput, MetadataValue

VALUES = "haystack:values"
WALL = "haystack:wall:"
INSTANT = "haystack:instant:"


def fields_from(meta: Mapping[str, Any], path: str) -> dict[str, MetadataInput]:
    """Make the fields of a document's meta.

    Args:
        meta: of the document; it is not changed.
        path: where it stands, for errors.

    Raises:
        InvalidArgumentError: METADATA_VALUE, as flat_metadata.
    """
    fields = flat_metadata(meta, path)
    marks: list[str] = []
    for place, value in _places(meta):
        if isinstance(value, str | datetime):
            fields.update(_dates(place, value))
        else:
            marks += [composite_mark(place), value_mark(place, value)]
    if marks:
        fields[VALUES] = marks
    return fields


def meta_from(fields: Mapping[str, MetadataValue]) -> dict[str, Any]:
    """Make the meta of a record's fields."""
    return nested_metadata(fields)


def composite_mark(place: str) -> str:
    """Say that there is a list or a dictionary at a place."""
    return f"composite:{place}"


def value_mark(place: str, value: Any) -> str:
    """Say which list or dictionary is at a place; equal ones, as Python compares them, have equal marks.

    Raises:
        TypeError: the value holds something that JSON does not.
    """
    text = json.dumps(_canonical(value), sort_keys=True)
    return f"{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}:{place}"


def is_plain(fields: Mapping[str, Any]) -> bool:
    """Whether a record has neither lists nor dictionaries, so that its fields can be changed one by one."""
    return VALUES not in fields and NESTED not in fields


def update_of(
    meta: Mapping[str, Any], fields: Mapping[str, MetadataValue] | None
) -> tuple[dict[str, MetadataInput], list[str]]:
    """Say which fields to set and which to remove, so that a record's meta is updated.

    Args:
        meta: new values; a None removes its field.
        fields: the record's; None: any record's that is plain.

    Raises:
        InvalidArgumentError: METADATA_VALUE, as flat_metadata.
    """
    if fields is None:
        wanted = fields_from(meta, "meta")
        touched = {prefix + name for name in meta for prefix in ("", WALL, INSTANT)}
        return wanted, sorted(touched - wanted.keys())
    old = {name: value for name, value in fields.items() if not _is_of_document(name)}
    wanted = fields_from(meta_from(fields) | dict(meta), "meta")
    return wanted, sorted(old.keys() - wanted.keys())


def _places(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of what may be a date, of lists and of dictionaries, in dictionaries too."""
    for name, value in values.items():
        place = f"{prefix}{name}"
        if isinstance(value, str | datetime | list | tuple | dict):
            yield place, value
        if isinstance(value, dict):
            yield from _places(value, f"{place}.")


def _dates(place: str, value: str | datetime) -> dict[str, MetadataInput]:
    moment = moment_from(value)
    if moment is None:
        return {}
    instant: dict[str, MetadataInput] = {} if moment.instant is None else {INSTANT + place: moment.instant}
    return {WALL + place: moment.wall, **instant}


def _is_of_document(name: str) -> bool:
    """Whether a reserved field is about the rest of the document, not about its meta."""
    return name.startswith("haystack:") and name != VALUES and not name.startswith((WALL, INSTANT))


def _canonical(value: Any) -> Any:
    match value.item() if isinstance(value, np.generic) else value:
        case bool() as flag:
            return int(flag)
        case float() as number if number.is_integer():
            return int(number)
        case list() | tuple() as elements:
            return [_canonical(element) for element in elements]
        case dict() as members:
            return {name: _canonical(member) for name, member in members.items()}
        case other:
            return other
