"""Metadata values and vectors ⇄ messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import numpy as np
from google.protobuf import timestamp_pb2
from numpy.typing import ArrayLike, NDArray

from vecgate.errors import InvalidArgumentError, OutdatedClientError
from vecgate.records import MetadataInput, MetadataValue
from vecgate.timestamps import Timestamp
from vecgate.v1 import metadata_pb2, vector_pb2

INT64 = range(-(2**63), 2**63)
PACKED = np.dtype("<f4")
"""Little-endian float32, as vectors and scores travel."""


def check_dimension(dimension: int | None, path: str) -> None:
    """Check that a length of vectors is one that the wire can carry; None is none.

    Raises:
        InvalidArgumentError: it is not.
    """
    if dimension is not None and not 0 < dimension < 2**32:
        raise InvalidArgumentError.at(path, f"{dimension} is out of range")


def value_message(value: MetadataInput, path: str) -> metadata_pb2.Value:
    """Translate one metadata value or filter operand that is not None.

    Raises:
        InvalidArgumentError: METADATA_VALUE, at `path`: a type the API has no place for, a naive datetime, an integer
            beyond 64 bits, text that is not Unicode.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    match plain:
        case bool():
            return metadata_pb2.Value(bool_value=plain)
        case int():
            if plain not in INT64:
                raise _unfit(path, f"{plain} does not fit into 64 bits; store it as a string")
            return metadata_pb2.Value(int_value=plain)
        case float():
            return metadata_pb2.Value(double_value=plain)
        case str():
            return metadata_pb2.Value(string_value=_encodable(plain, path))
        case Timestamp() | datetime():
            return metadata_pb2.Value(timestamp_value=_timestamp_message(plain, path))
        case list() | tuple():
            return metadata_pb2.Value(string_list_value=metadata_pb2.StringList(values=_strings(plain, path)))
        case _:
            raise _unfit(
                path,
                f"{type(plain).__name__} cannot be stored; take str, int, float, bool, Timestamp, an aware datetime "
                "or a list of str",
            )


def metadata_messages(metadata: Mapping[str, MetadataInput], path: str) -> dict[str, metadata_pb2.Value]:
    """Translate the metadata of a record; fields whose value is None are left out.

    Raises:
        InvalidArgumentError: as value_message, at the field's path.
    """
    messages = {}
    for name, value in metadata.items():
        if not isinstance(name, str):
            raise _unfit(path, f"the field name {name!r} is not a string")
        if value is not None:
            messages[_encodable(name, path)] = value_message(value, f'{path}["{name}"]')
    return messages


def value_from(message: metadata_pb2.Value) -> MetadataValue:
    """Translate a Value that a server sent.

    Raises:
        OutdatedClientError: the kind is unset, so of a server newer than this client.
    """
    match message.WhichOneof("kind"):
        case "timestamp_value":
            return timestamp_from(message.timestamp_value)
        case "string_list_value":
            return tuple(message.string_list_value.values)
        case None:
            raise OutdatedClientError("the server sent a metadata value of a kind that this client does not know")
        case kind:
            return cast("MetadataValue", getattr(message, kind))


def metadata_from(messages: Mapping[str, metadata_pb2.Value]) -> dict[str, MetadataValue]:
    """Translate the metadata of a record, sorted by name."""
    return {name: value_from(messages[name]) for name in sorted(messages)}


def timestamp_from(message: timestamp_pb2.Timestamp) -> Timestamp:
    """Translate a point in time."""
    return Timestamp(message.seconds, message.nanos)


def vector_message(vector: ArrayLike, path: str) -> vector_pb2.Vector:
    """Pack a vector of shape (dimension,).

    Raises:
        InvalidArgumentError: at `path`: not numbers, or not one row of them.
    """
    row = float_array(vector, path)
    if row.ndim != 1 or row.size == 0:
        raise InvalidArgumentError.at(path, f"expected one vector of shape (dimension,), got shape {row.shape}")
    return vector_pb2.Vector(packed=row.tobytes())


def float_array(numbers: ArrayLike, path: str) -> NDArray[np.float32]:
    """Convert to little-endian float32. What overflows becomes infinite, which the server refuses by name.

    Raises:
        InvalidArgumentError: at `path`: not real numbers, or rows of different lengths.
    """
    try:
        array: NDArray[Any] = np.asarray(numbers)
    except ValueError as ragged:
        raise InvalidArgumentError.at(path, f"not a vector: {ragged}") from ragged
    if array.dtype.kind not in "fiu":
        raise InvalidArgumentError.at(path, f"expected real numbers, got an array of {array.dtype}")
    if array.dtype == PACKED and array.flags.c_contiguous:
        return array
    with np.errstate(over="ignore"):
        return array.astype(PACKED, order="C", copy=False)


def floats_from(packed: bytes) -> NDArray[np.float32]:
    """Unpack little-endian float32 numbers; the array may be written to."""
    return np.frombuffer(packed, dtype=PACKED).astype(np.float32)


def vector_from(message: vector_pb2.Vector) -> NDArray[np.float32]:
    """Translate a vector in either encoding, shape (dimension,)."""
    if message.WhichOneof("encoding") == "floats":
        return np.array(message.floats.values, dtype=np.float32)
    return floats_from(message.packed)


def _timestamp_message(moment: Timestamp | datetime, path: str) -> timestamp_pb2.Timestamp:
    if isinstance(moment, datetime):
        if moment.utcoffset() is None:
            raise _unfit(path, f"{moment.isoformat()} has no time zone; add one, such as tzinfo=datetime.UTC")
        moment = Timestamp.from_datetime(moment)
    return timestamp_pb2.Timestamp(seconds=moment.seconds, nanos=moment.nanos)


def _strings(values: Sequence[object], path: str) -> list[str]:
    strings = []
    for index, element in enumerate(values):
        if not isinstance(element, str):
            raise _unfit(f"{path}[{index}]", f"lists hold strings only, this is {type(element).__name__}")
        strings.append(_encodable(element, f"{path}[{index}]"))
    return strings


def _encodable(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unfit(path, f"not Unicode text: a lone surrogate at character {error.start}") from error
    return str(text)


def _unfit(path: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError.at(path, description, reason="METADATA_VALUE")
