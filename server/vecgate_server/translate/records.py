"""Records and the choice of their fields: wire ⇄ records. Pure but for the refusal of choices that are not whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vecgate.v1 import record_pb2
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import Fields, Record
from vecgate_server.translate.enums import VECTORS_AS_FLOATS
from vecgate_server.translate.metadata import metadata_to_wire
from vecgate_server.translate.vectors import vector_to_wire
from vecgate_server.validate import argument_rules


@dataclass(frozen=True, slots=True)
class ReturnFields:
    """Which parts of a record an answer carries, and how its vectors are sent."""

    fields: Fields
    as_floats: bool


DEFAULT_FIELDS = ReturnFields(Fields(), as_floats=False)
"""Text and all metadata, no vector."""


def return_fields(message: record_pb2.ReturnFields | None, path: str) -> ReturnFields:
    """Read a choice of fields; None is the default, an empty message ids alone.

    Raises:
        InvalidArgumentError: a choice of metadata fields that chooses nothing, with its path.
    """
    if message is None:
        return DEFAULT_FIELDS
    metadata: bool | frozenset[str] = False
    if message.HasField("metadata"):
        metadata = _metadata_choice(message.metadata, f"{path}.metadata")
    return ReturnFields(
        Fields(text=message.text, metadata=metadata, vector=message.vector),
        argument_rules.choice(message.vector_encoding, VECTORS_AS_FLOATS, f"{path}.vector_encoding"),
    )


def record_to_wire(record: Record, *, as_floats: bool) -> record_pb2.Record:
    """Write a record; parts that were not asked for are absent from it."""
    return record_pb2.Record(
        id=record.id,
        text=record.text,
        metadata=metadata_to_wire(record.metadata),
        vector=None if record.vector is None else vector_to_wire(record.vector, as_floats=as_floats),
    )


def records_to_wire(records: Iterable[Record], *, as_floats: bool) -> list[record_pb2.Record]:
    """Write records."""
    return [record_to_wire(record, as_floats=as_floats) for record in records]


def _metadata_choice(message: record_pb2.MetadataFields, path: str) -> bool | frozenset[str]:
    match message.WhichOneof("selection"):
        case "all" if message.all:
            return True
        case "all":
            raise InvalidArgumentError.at(f"{path}.all", "must be true where it is set")
        case "names" if message.names.names:
            return frozenset(message.names.names)
        case "names":
            raise InvalidArgumentError.at(f"{path}.names.names", "must hold at least one name")
        case _:
            raise InvalidArgumentError.at(path, "set all or names")
