"""Metadata and timestamps: wire ⇄ records. Pure; what comes from the wire was checked by validate_metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp as WireTimestamp

from vecgate.v1.metadata_pb2 import StringList, Value
from vecgate_backends.records import Metadata, MetadataValue, Timestamp


def timestamp_from_wire(message: WireTimestamp) -> Timestamp:
    """Keep seconds and nanoseconds."""
    return Timestamp(message.seconds, message.nanos)


def timestamp_to_wire(stamp: Timestamp) -> WireTimestamp:
    """Keep seconds and nanoseconds."""
    return WireTimestamp(seconds=stamp.seconds, nanos=stamp.nanos)


_FROM_WIRE: Mapping[str, Callable[[Value], MetadataValue]] = {
    "string_value": lambda value: value.string_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "bool_value": lambda value: value.bool_value,
    "timestamp_value": lambda value: timestamp_from_wire(value.timestamp_value),
    "string_list_value": lambda value: tuple(value.string_list_value.values),
}

# By exact type: bool is a subclass of int, and must not be taken for one.
_TO_WIRE: Mapping[type, Callable[..., Value]] = {
    str: lambda value: Value(string_value=value),
    int: lambda value: Value(int_value=value),
    float: lambda value: Value(double_value=value),
    bool: lambda value: Value(bool_value=value),
    Timestamp: lambda value: Value(timestamp_value=timestamp_to_wire(value)),
    tuple: lambda value: Value(string_list_value=StringList(values=value)),
}


def value_from_wire(value: Value) -> MetadataValue:
    """Read a value whose kind is set; its type is the kind's."""
    kind = value.WhichOneof("kind")
    if kind is None:
        raise ValueError("a Value with no kind set passed validation")
    return _FROM_WIRE[kind](value)


def value_to_wire(value: MetadataValue) -> Value:
    """Write a value under the kind of its type."""
    return _TO_WIRE[type(value)](value)


def metadata_from_wire(fields: Mapping[str, Value]) -> Metadata:
    """Read all fields of a record."""
    # Of a protobuf map, looking up each name is half the time of items().
    return {name: value_from_wire(fields[name]) for name in fields}


def metadata_to_wire(metadata: Metadata) -> dict[str, Value]:
    """Write all fields of a record."""
    return {name: value_to_wire(value) for name, value in metadata.items()}
