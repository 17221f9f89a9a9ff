"""A row of a file → a record: which fields are id, text, vector and metadata, and of which type."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vecgate.cli.faults import InputFault
from vecgate.cli.row_readers import Row
from vecgate.cli.sources import COLUMN_FORMATS, Source
from vecgate.errors import InvalidArgumentError
from vecgate.records import MetadataInput, Record
from vecgate.timestamps import Timestamp

TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
"""How a bool may be written in a file, in any case."""


def _truth(value: object) -> bool:
    return TRUTHS[str(value).strip().lower()]


def _whole(value: object) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not whole")
    return int(value)  # type: ignore[call-overload, no-any-return]  # what is no number raises


def _moment(value: object) -> Timestamp:
    return Timestamp.from_rfc3339(str(value).strip())


def _string(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


CONVERSIONS: Mapping[str, Callable[[Any], MetadataInput]] = {
    "str": _string,
    "int": _whole,
    "float": float,
    "bool": _truth,
    "timestamp": _moment,
}
"""Name of a metadata type on the command line → how to make it of what is in the file."""


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A field to keep as metadata, and its type; None: as it is in the file."""

    name: str
    type_name: str | None = None

    @classmethod
    def parse(cls, word: str) -> MetadataField:
        """Read NAME or NAME:TYPE; what follows the last colon is a type only if there is such a type."""
        name, colon, type_name = word.rpartition(":")
        return cls(name, type_name) if colon and type_name in CONVERSIONS else cls(word)


@dataclass(frozen=True, slots=True)
class RowMapping:
    """Where in a row the parts of a record are.

    Attributes:
        id_field: the id; whole numbers are taken as their digits.
        text_fields: the text; several are joined by a space, empty ones left out.
        vector_field: the vector, a list of numbers; a row without it has none.
        metadata_fields: what to keep; None: everything else, and what is inside of an object named "metadata".
    """

    id_field: str = "id"
    text_fields: tuple[str, ...] = ("text",)
    vector_field: str = "vector"
    metadata_fields: tuple[MetadataField, ...] | None = None

    def check_first(self, row: Row, source: Source) -> None:
        """Refuse a file whose first row shows that it is not read as it is meant.

        Raises:
            InputFault: it lacks the id, or both the text and the vector, or, where every row has the same fields, one to
                keep as metadata; the message names the fields there are.
        """
        if self.id_field not in row.values:
            raise _lacking(row, source, self.id_field, "--id-field")
        if self.vector_field not in row.values:
            self.check_text(row, source)
        self._check_metadata(row, source)

    def check_text(self, row: Row, source: Source) -> None:
        """Refuse a file whose first row lacks a text field; as check_first."""
        for name in self.text_fields:
            if name not in row.values:
                raise _lacking(row, source, name, "--text-field")

    def _check_metadata(self, row: Row, source: Source) -> None:
        nested = row.values.get("metadata")
        there = row.values.keys() | (nested.keys() if isinstance(nested, dict) else set())
        for wanted in self.metadata_fields or ():
            if wanted.name in there:
                continue
            name, colon, type_name = wanted.name.rpartition(":")
            if colon and name in there:
                raise InputFault(f"{type_name!r} is no type of metadata", f"take one of {', '.join(CONVERSIONS)}")
            if source.file_format in COLUMN_FORMATS:
                raise _lacking(row, source, wanted.name, "--metadata-field with a name that there is")

    def record(self, row: Row, *, empty_is_nothing: bool) -> Record:
        """Make a record of a row; nulls are dropped.

        Args:
            row: the row.
            empty_is_nothing: an empty metadata value means none, as in CSV.

        Raises:
            InvalidArgumentError: the row has no usable id, or a value is not of its type; METADATA_VALUE, or ROW.
        """
        return Record(
            id=self.id_of(row),
            text=self.text_of(row),
            vector=row.values.get(self.vector_field),
            metadata=self._metadata(row.values, empty_is_nothing=empty_is_nothing),
        )

    def id_of(self, row: Row) -> str:
        """Return the id of a row.

        Raises:
            InvalidArgumentError: there is none, or it is neither text nor a whole number.
        """
        found = row.values.get(self.id_field)
        if isinstance(found, str) or (isinstance(found, int) and not isinstance(found, bool)):
            return str(found)
        raise InvalidArgumentError.at(self.id_field, f"expected an id, got {found!r}", reason="ROW")

    def text_of(self, row: Row) -> str | None:
        """Return the text of a row, None if it has none of the text fields.

        Raises:
            InvalidArgumentError: a text field holds something else than text.
        """
        parts = [(name, row.values[name]) for name in self.text_fields if row.values.get(name) is not None]
        for name, part in parts:
            if not isinstance(part, str):
                raise InvalidArgumentError.at(name, f"expected text, got {type(part).__name__}", reason="ROW")
        if not parts:
            return None
        return parts[0][1] if len(self.text_fields) == 1 else " ".join(part for _, part in parts if part)

    def _metadata(self, values: Mapping[str, Any], *, empty_is_nothing: bool) -> dict[str, MetadataInput]:
        kept = self._everything_else(values) if self.metadata_fields is None else _flattened(values)
        given = {name: value for name, value in kept.items() if not _is_nothing(value, empty_is_nothing)}
        if self.metadata_fields is None:
            return given
        return {
            wanted.name: _converted(given[wanted.name], wanted)
            for wanted in self.metadata_fields
            if wanted.name in given
        }

    def _everything_else(self, values: Mapping[str, Any]) -> dict[str, MetadataInput]:
        used = {self.id_field, self.vector_field, *self.text_fields}
        return _flattened({name: value for name, value in values.items() if name not in used})


def parse_metadata_fields(words: Sequence[str]) -> tuple[MetadataField, ...] | None:
    """Read the fields of a command line; none at all means everything else."""
    return tuple(MetadataField.parse(word) for word in words) or None


def _lacking(row: Row, source: Source, name: str, option: str) -> InputFault:
    there = ", ".join(repr(known) for known in row.values)
    return InputFault(f"{source.name}: no field {name!r}; there are {there or 'none'}", f"pass {option}")


def _is_nothing(value: object, empty_is_nothing: bool) -> bool:
    # An array is not to be compared with "".
    return value is None or (empty_is_nothing and isinstance(value, str) and not value)


def _flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put what is inside of an object named "metadata" beside it.

    Raises:
        InvalidArgumentError: a name is in both places.
    """
    nested = values.get("metadata")
    if not isinstance(nested, dict):
        return dict(values)
    flat = {name: value for name, value in values.items() if name != "metadata"}
    if twice := flat.keys() & nested.keys():
        raise InvalidArgumentError.at(f"metadata.{min(twice)}", "also stands outside of metadata", reason="ROW")
    return {**flat, **nested}


def _converted(value: object, wanted: MetadataField) -> MetadataInput:
    if wanted.type_name is None:
        return value  # type: ignore[return-value]  # the client checks types
    try:
        return CONVERSIONS[wanted.type_name](value)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgumentError.at(
            wanted.name, f"{value!r} is no {wanted.type_name}", reason="METADATA_VALUE"
        ) from error
