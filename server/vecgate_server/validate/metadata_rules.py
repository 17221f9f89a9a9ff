"""Rules of metadata: names, kinds, ranges and sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp as WireTimestamp

from vecgate.v1.metadata_pb2 import Value
from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.errors import LimitExceededError, MetadataValueError, MetadataValueUnsetError
from vecgate_server.validate.argument_rules import CONTROL_CHARACTER

if TYPE_CHECKING:
    from vecgate_server.config_limits import LimitSettings

MAX_NAME_BYTES = 128
# 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range of google.protobuf.Timestamp, in seconds since 1970.
EARLIEST_SECOND = -62_135_596_800
LATEST_SECOND = 253_402_300_799
NUMBER_BYTES = 8
TIMESTAMP_BYTES = 12

_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def field_path(path: str, name: str) -> str:
    """Return the path of a metadata field, such as records[3].metadata["year"]."""
    return f'{path}["{name}"]'


def field_name(name: str, path: str) -> str:
    """Check a field's name: 1 to 128 bytes of UTF-8, no control characters, no '"', no leading "$" or "__"."""
    fault = _name_fault(name)
    if fault:
        raise InvalidArgumentError.at(path, fault)
    return name


@lru_cache(maxsize=1024)  # records have the same fields again and again
def _name_fault(name: str) -> str:
    if not name:
        return "a field needs a name"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"the name has more than {MAX_NAME_BYTES} bytes"
    if name.startswith(("$", "__")):
        return 'a name must not start with "$" or "__"'
    if '"' in name or CONTROL_CHARACTER.search(name):
        return "a name must hold neither control characters nor '\"'"
    return ""


def value(message: Value, path: str) -> int:
    """Check one value and return its size in bytes.

    Of text that is its UTF-8, of a listed string one more, of a number 8, of a timestamp 12.

    Raises:
        MetadataValueUnsetError: no kind is set.
        MetadataValueError: not finite, out of range, or text with control characters.
    """
    kind = message.WhichOneof("kind")
    if kind is None:
        raise MetadataValueUnsetError.at(path, "has no value; leave the field out to say that there is none")
    return _CHECKS[kind](message, path)


def metadata(fields: Mapping[str, Value], path: str, limits: LimitSettings) -> None:
    """Check all fields of a record, their number and their size."""
    if len(fields) > limits.max_metadata_fields:
        raise LimitExceededError.at(
            path, f"has {len(fields)} fields; limits.max_metadata_fields is {limits.max_metadata_fields}"
        )
    size = 0
    for name, message in fields.items():
        where = field_path(path, name)
        # A list has at least as many bytes as strings, so that one of millions need not be read to be refused.
        least = size + (len(message.string_list_value.values) if message.HasField("string_list_value") else 0)
        if least <= limits.max_metadata_bytes:
            least = size = size + len(field_name(name, where).encode()) + value(message, where)
        if least > limits.max_metadata_bytes:
            raise LimitExceededError.at(
                path, f"has {least} or more bytes; limits.max_metadata_bytes is {limits.max_metadata_bytes}"
            )


def _string(content: str, path: str) -> int:
    if content.isascii() and content.isprintable():  # as most text is
        return len(content)
    if _CONTROL_IN_TEXT.search(content):
        raise MetadataValueError.at(path, "must hold no control characters but tab, line feed and carriage return")
    return len(content.encode())


def _double(message: Value, path: str) -> int:
    if not math.isfinite(message.double_value):
        raise MetadataValueError.at(path, "must be a finite number")
    return NUMBER_BYTES


def _timestamp(stamp: WireTimestamp, path: str) -> int:
    if not (EARLIEST_SECOND <= stamp.seconds <= LATEST_SECOND and 0 <= stamp.nanos <= 999_999_999):
        raise MetadataValueError.at(path, "must lie in the years 1 to 9999, with 0 to 999,999,999 nanoseconds")
    return TIMESTAMP_BYTES


def _strings(message: Value, path: str) -> int:
    elements = message.string_list_value.values
    return sum(1 + _string(element, f"{path}.values[{row}]") for row, element in enumerate(elements))


_CHECKS: Mapping[str, Callable[[Value, str], int]] = {
    "string_value": lambda message, path: _string(message.string_value, path),
    "int_value": lambda _message, _path: NUMBER_BYTES,
    "double_value": _double,
    "bool_value": lambda _message, _path: NUMBER_BYTES,
    "timestamp_value": lambda message, path: _timestamp(message.timestamp_value, path),
    "string_list_value": _strings,
}
