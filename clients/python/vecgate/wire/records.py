"""Records, the choice of their parts, and answers made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from vecgate.errors import InvalidArgumentError
from vecgate.records import Fields, Record
from vecgate.results import ChangeResult, FieldStats, GetResult, StoredRecord
from vecgate.timestamps import Timestamp
from vecgate.v1 import metadata_pb2, read_pb2, record_pb2, write_pb2
from vecgate.wire.outcomes import timings_from
from vecgate.wire.values import (
    metadata_from,
    metadata_messages,
    timestamp_from,
    value_from,
    vector_from,
    vector_message,
)

PARTS = tuple(part.name for part in fields(Record))


def as_record(item: Record | Mapping[str, object], path: str) -> Record:
    """Accept a record, or a mapping with a record's keys.

    Raises:
        InvalidArgumentError: at `path`: a mapping without "id" or with a key that is no part of a record.
        TypeError: neither.
    """
    if isinstance(item, Record):
        return item
    if not isinstance(item, Mapping):
        raise TypeError(f"{path}: expected a vecgate.Record or a mapping, got {type(item).__name__}")
    unknown = [key for key in item if key not in PARTS]
    if unknown:
        raise InvalidArgumentError.at(path, f"unknown key {unknown[0]!r}; a record has {', '.join(PARTS)}")
    if "id" not in item:
        raise InvalidArgumentError.at(f"{path}.id", "missing")
    return Record(**item)  # type: ignore[arg-type]  # record_message checks each part


def record_message(record: Record, path: str) -> record_pb2.Record:
    """Translate a record to write.

    Raises:
        InvalidArgumentError: at the part's path: a type or text that the wire cannot carry.
    """
    if not isinstance(record.id, str):
        raise InvalidArgumentError.at(f"{path}.id", f"an id is a string, this is {type(record.id).__name__}")
    if not isinstance(record.text, str | None):
        raise InvalidArgumentError.at(f"{path}.text", f"text is a string, this is {type(record.text).__name__}")
    if not isinstance(record.metadata, Mapping):
        raise InvalidArgumentError.at(f"{path}.metadata", f"expected a mapping, got {type(record.metadata).__name__}")
    _check_unicode(record.id, f"{path}.id")
    _check_unicode(record.text or "", f"{path}.text")
    return record_pb2.Record(
        id=record.id,
        text=record.text,
        vector=None if record.vector is None else vector_message(record.vector, f"{path}.vector"),
        metadata=metadata_messages(record.metadata, f"{path}.metadata"),
    )


def record_from(message: record_pb2.Record) -> StoredRecord:
    """Translate a stored record."""
    return StoredRecord(
        id=message.id,
        text=message.text if message.HasField("text") else None,
        metadata=metadata_from(message.metadata),
        vector=vector_from(message.vector) if message.HasField("vector") else None,
    )


def fields_message(choice: Fields) -> record_pb2.ReturnFields:
    """Translate which parts of records to return.

    Raises:
        InvalidArgumentError: `metadata` is a string or an empty sequence.
    """
    return record_pb2.ReturnFields(
        text=choice.text, metadata=_metadata_fields_message(choice.metadata), vector=choice.vector
    )


def get_result_from(response: read_pb2.GetResponse) -> GetResult:
    """Translate the records that were read."""
    return GetResult(
        records=tuple(record_from(message) for message in response.records),
        missing_ids=tuple(response.missing_ids),
        has_more=response.has_more,
        timings=timings_from(response.timings),
    )


def change_from(response: write_pb2.DeleteResponse | write_pb2.UpdateMetadataResponse) -> ChangeResult:
    """Translate the answer to a delete or an update of metadata."""
    count = response.deleted_count if isinstance(response, write_pb2.DeleteResponse) else response.matched_count
    return ChangeResult(count, response.searchable, response.consistency_token, timings_from(response.timings))


def field_stats_from(response: read_pb2.FieldStatsResponse) -> FieldStats:
    """Translate the values of a field."""
    return FieldStats(
        values=tuple((value_from(entry.value), entry.count) for entry in response.values),
        distinct=response.distinct_count,
        present=response.present_count,
        missing=response.missing_count,
        numbers=(_number(response.min_number), _number(response.max_number))
        if response.HasField("min_number")
        else None,
        timestamps=_time_span(response) if response.HasField("min_timestamp") else None,
        timings=timings_from(response.timings),
    )


def _time_span(response: read_pb2.FieldStatsResponse) -> tuple[Timestamp, Timestamp]:
    first, last = response.min_timestamp, response.max_timestamp
    return timestamp_from(first.timestamp_value), timestamp_from(last.timestamp_value)


def _number(message: metadata_pb2.Value) -> int | float:
    return message.int_value if message.WhichOneof("kind") == "int_value" else message.double_value


def _metadata_fields_message(choice: object) -> record_pb2.MetadataFields | None:
    if isinstance(choice, bool):
        return record_pb2.MetadataFields(all=True) if choice else None
    if isinstance(choice, str) or not isinstance(choice, tuple | list | set | frozenset) or not choice:
        raise InvalidArgumentError.at(
            "fields.metadata", f"expected True, False or a sequence of at least one field name, got {choice!r}"
        )
    return record_pb2.MetadataFields(names=record_pb2.FieldNames(names=choice))


def _check_unicode(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError.at(path, f"not Unicode text: a lone surrogate at character {error.start}") from error
