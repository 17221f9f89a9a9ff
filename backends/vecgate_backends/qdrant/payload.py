"""Records as Qdrant payloads, and back.

Beside the fixed keys each metadata field has its own, `<part>:<field>`. The part tells the type, so that a condition on a number
never meets a string, and a changed field is one merge of the payload, with null for the parts it no longer has:

    s:  a string, or a list of strings        n:  a number that survives JSON and ranges as it is
    e:  true for an empty list                x: h: l:  any other number, as text and as two halves of its order (exact_numbers)
    b:  a boolean                             t: u:  a timestamp: seconds and nanoseconds
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

from vecgate_backends.qdrant.exact_numbers import number_text, order_key, parse_number, survives
from vecgate_backends.records import Fields, FloatVector, Metadata, MetadataValue, Timestamp

Payload: TypeAlias = dict[str, Any]

ID = "id"
NAMESPACE = "ns"
TEXT = "text"
ORIGINAL = "vector"
NONCE = "nonce"
STAMP = "stamp"
LENGTH = "length"
"""Of the vector, under DOT."""


class Part(StrEnum):
    """What a payload key of a metadata field holds."""

    STRINGS = "s"
    EMPTY = "e"
    NUMBER = "n"
    EXACT = "x"
    HIGH = "h"
    LOW = "l"
    BOOLEAN = "b"
    SECONDS = "t"
    NANOS = "u"


PRESENCE = (Part.STRINGS, Part.EMPTY, Part.NUMBER, Part.EXACT, Part.BOOLEAN, Part.SECONDS)
"""Of these a field that exists has exactly one."""

# A quoted path takes no quote and no backslash; the percent sign makes room for them.
_ESCAPES = str.maketrans({"%": "%25", '"': "%22", "\\": "%5C"})


def payload_key(part: Part, field: str) -> str:
    """Return the key under which a payload holds a part of a metadata field."""
    return f"{part}:{field.translate(_ESCAPES)}"


def payload_path(part: Part, field: str) -> str:
    """Return the path that filters, selectors and indexes know the key by."""
    return f'"{payload_key(part, field)}"'


def encode_metadata(metadata: Metadata) -> Payload:
    """Return the payload entries of metadata."""
    return {
        payload_key(part, field): value for field, stored in metadata.items() for part, value in _parts(stored).items()
    }


def encode_changes(changed: Metadata, removed: Iterable[str]) -> Payload:
    """Return the entries whose merge into a payload sets and removes fields; null takes away what was there."""
    nothing = {payload_key(part, field): None for field in (*changed, *removed) for part in Part}
    return nothing | encode_metadata(changed)


def decode_metadata(payload: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Return the metadata of a payload, or of the part of it that was read."""
    metadata: dict[str, MetadataValue] = {}
    for key, value in payload.items():
        part, colon, escaped = key.partition(":")
        if not colon or value is None or part not in PRESENCE:
            continue
        field = escaped.replace("%22", '"').replace("%5C", "\\").replace("%25", "%")
        metadata[field] = _value(Part(part), value, payload.get(f"{Part.NANOS}:{escaped}"))
    return metadata


def selected_keys(fields: Fields) -> list[str]:
    """Return the paths that hold the asked fields of a record whose metadata is asked for by name or not at all."""
    keys = [ID, LENGTH]
    if fields.text:
        keys.append(TEXT)
    if fields.vector:
        keys.append(ORIGINAL)
    if fields.encoding_stamp:
        keys.append(STAMP)
    if not isinstance(fields.metadata, bool):
        keys.extend(path for field in sorted(fields.metadata) for path in field_paths(field))
    return keys


def unselected_keys(fields: Fields) -> list[str]:
    """Return the fixed keys that are not asked for."""
    asked = {TEXT: fields.text, ORIGINAL: fields.vector, STAMP: fields.encoding_stamp}
    return [NAMESPACE, NONCE, *(key for key, wanted in asked.items() if not wanted)]


def field_paths(field: str) -> list[str]:
    """Return the paths from which decode_metadata reads a field."""
    return [payload_path(part, field) for part in (*PRESENCE, Part.NANOS)]


def encode_stamp(stamp: bytes) -> str:
    """Write an encoding stamp as text."""
    return base64.b64encode(stamp).decode()


def decode_stamp(text: str) -> bytes:
    """Read what encode_stamp wrote."""
    return base64.b64decode(text)


def encode_vector(vector: FloatVector) -> str:
    """Write a vector, shape (dimension,), as base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def decode_vector(text: str) -> FloatVector:
    """Read what encode_vector wrote; the array may be written to."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)


def _parts(value: MetadataValue) -> dict[Part, Any]:
    match value:
        case bool():
            return {Part.BOOLEAN: value}
        case str():
            return {Part.STRINGS: value}
        case tuple():
            return {Part.STRINGS: list(value)} if value else {Part.EMPTY: True}
        case Timestamp(seconds, nanos):
            return {Part.SECONDS: seconds, Part.NANOS: nanos}
        case _ if survives(value):
            return {Part.NUMBER: value}
        case _:
            high, low = order_key(value)
            return {Part.EXACT: number_text(value), Part.HIGH: high, Part.LOW: low}


def _value(part: Part, stored: Any, nanos: int | None) -> MetadataValue:
    match part:
        case Part.STRINGS:
            return tuple(stored) if isinstance(stored, list) else str(stored)
        case Part.EMPTY:
            return ()
        case Part.EXACT:
            return parse_number(stored)
        case Part.SECONDS:
            return Timestamp(int(stored), int(nanos or 0))
        case _:
            value: MetadataValue = stored
            return value
