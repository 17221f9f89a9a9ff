"""Records as vectors with metadata of Pinecone, and back.

The exact text and metadata stand under reserved keys; beside them, for filters, a copy of every field under a key that tells its type, so
that no comparison ever crosses types:

    format    1, in every record            s:FIELD  the string, or the strings of a list
    hash      a number for the id           n:FIELD  the number, rounded to a double
    write     a number for the write        b:FIELD  the boolean
    id        the record's id, if not       t:FIELD, u:FIELD  seconds and nanoseconds of a timestamp
              Pinecone's                    e:FIELD  true, for an empty list
    stamp     the encoding stamp, if there is one, in base 64
    text, metadata  "=" and the text or JSON, or "~" and its zlib stream in base 85

Strings that are too long to compare cheaply are copied as a digest, which Eq finds as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from vecgate_backends.errors import InvalidArgumentError, StorageCorruptError
from vecgate_backends.pinecone.identifiers import id_hash, is_digest, vendor_id
from vecgate_backends.pinecone.vector_codec import decode_vector, encode_vector
from vecgate_backends.records import Fields, FloatVector, Metadata, MetadataValue, Metric, Record, Timestamp

FORMAT, HASH, WRITE, ID, TEXT, METADATA, STAMP = "format", "hash", "write", "id", "text", "metadata", "stamp"
FORMAT_VERSION = 1
EVERY_RECORD: dict[str, Any] = {FORMAT: {"$eq": FORMAT_VERSION}}
MOST_METADATA_BYTES = 40_000
"""Pinecone keeps 40 KB a record; this side measures compact JSON and leaves a little room."""
LONGEST_COPY = 128
_DIGEST = "sha256:"
_PLAIN, _PACKED = "=", "~"
_ENVELOPE_BYTES = 40


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """A vector for an upsert, and about how many bytes it takes there."""

    id: str
    values: list[float]
    metadata: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as Pinecone returns it, `values` of shape (dimension,) or empty; the other parts are decoded when asked for."""

    vendor_id: str
    values: FloatVector
    stored: dict[str, Any]

    @property
    def id(self) -> str:
        """The record's own id."""
        return str(self._part(ID)) if is_digest(self.vendor_id) else self.vendor_id

    @property
    def write(self) -> int:
        """The number of the write that stored it."""
        return int(self._part(WRITE))

    @property
    def text(self) -> str | None:
        """Its text, None for none."""
        return _unpack(self.stored[TEXT]) if TEXT in self.stored else None

    @property
    def metadata(self) -> dict[str, MetadataValue]:
        """Its metadata, each value with its type."""
        decoded = json.loads(_unpack(self._part(METADATA)))
        return {field: _restored(value) for field, value in decoded.items()}

    @property
    def encoding_stamp(self) -> bytes:
        """Its encoding stamp, b"" for none."""
        return base64.b64decode(self.stored.get(STAMP, ""))

    @property
    def vector(self) -> FloatVector:
        """Its vector as it was written, shape (dimension,)."""
        return decode_vector(self.values, self.stored)

    def record(self, fields: Fields) -> Record:
        """Return the parts that were asked for."""
        wanted = fields.metadata
        metadata: Metadata = self.metadata if wanted else {}
        if not isinstance(wanted, bool):
            metadata = {name: value for name, value in metadata.items() if name in wanted}
        return Record(
            self.id,
            self.text if fields.text else None,
            metadata,
            self.vector if fields.vector else None,
            self.encoding_stamp if fields.encoding_stamp else b"",
        )

    def _part(self, key: str) -> Any:
        try:
            return self.stored[key]
        except KeyError:
            raise StorageCorruptError(
                f"the record {self.vendor_id!r} at Pinecone lacks {key!r}: it was not written by vecgate"
            ) from None


def encode_record(record: Record, *, metric: Metric, write: int) -> EncodedRecord:
    """Encode a whole record, its vector included.

    Raises:
        InvalidArgumentError: Pinecone cannot hold it; the message says why.
    """
    if record.vector is None:
        raise ValueError("a record without its vector cannot be written")
    numbers = encode_vector(record.vector, metric)
    name = vendor_id(record.id)
    stored: dict[str, Any] = {FORMAT: FORMAT_VERSION, HASH: id_hash(name), WRITE: write, **numbers.metadata}
    if name != record.id:
        stored[ID] = record.id
    if record.encoding_stamp:
        stored[STAMP] = base64.b64encode(record.encoding_stamp).decode("ascii")
    for field, value in record.metadata.items():
        stored.update(filterable(field, value))
    stored[METADATA] = _PLAIN + _json(record.metadata)
    if record.text is not None:
        stored[TEXT] = _PLAIN + record.text
    size = _fitted(stored)
    return EncodedRecord(name, numbers.values, stored, numbers.size + size + len(name) + _ENVELOPE_BYTES)


def filterable(field: str, value: MetadataValue) -> dict[str, Any]:
    """Return the copies of a metadata field that filters compare with."""
    if isinstance(value, bool):
        return {f"b:{field}": value}
    if isinstance(value, int | float):
        return {f"n:{field}": nearest_double(value)} if not math.isnan(value) else {f"e:{field}": True}
    if isinstance(value, Timestamp):
        return {f"t:{field}": value.seconds, f"u:{field}": value.nanos}
    if isinstance(value, str):
        return {f"s:{field}": comparable_string(value)}
    return {f"s:{field}": sorted({comparable_string(each) for each in value})} if value else {f"e:{field}": True}


def nearest_double(value: float) -> float:
    """Return a number as Pinecone keeps it; what is infinite, as the largest double."""
    largest = 1.7976931348623157e308
    return min(max(float(value), -largest), largest)


def comparable_string(value: str) -> str:
    """Return what stands for a string in filters: itself, or a digest if it is long."""
    encoded = value.encode()
    if len(encoded) <= LONGEST_COPY and not value.startswith(_DIGEST):
        return value
    return _DIGEST + hashlib.sha256(encoded).hexdigest()


def _fitted(stored: dict[str, Any]) -> int:
    """Pack what is long until the metadata fits, and return its bytes."""
    size = len(orjson.dumps(stored))
    for key in (TEXT, METADATA):
        if size > MOST_METADATA_BYTES and key in stored:
            stored[key] = min(stored[key], _pack(stored[key]), key=len)
            size = len(orjson.dumps(stored))
    if size > MOST_METADATA_BYTES:
        raise InvalidArgumentError(
            f"text and metadata of the record take {size:,} bytes at Pinecone, which keeps {MOST_METADATA_BYTES:,} a record"
        )
    return size


def _pack(plain: str) -> str:
    stream = zlib.compress(plain.removeprefix(_PLAIN).encode(), 9)
    return _PACKED + base64.b85encode(stream).decode("ascii")


def _unpack(stored: str) -> str:
    if stored.startswith(_PACKED):
        return zlib.decompress(base64.b85decode(stored.removeprefix(_PACKED))).decode()
    return stored.removeprefix(_PLAIN)


def _json(metadata: Metadata) -> str:
    simple = {
        field: {"seconds": value.seconds, "nanos": value.nanos} if isinstance(value, Timestamp) else value
        for field, value in metadata.items()
    }
    return json.dumps(simple, ensure_ascii=False, separators=(",", ":"))


def _restored(value: Any) -> MetadataValue:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return Timestamp(**value)
    kept: MetadataValue = value
    return kept
