"""Checksums of what the rows of the truth hold, so that contents that changed on the disk are refused and never served.

A checksum is XXH3-64 with SEED, kept as SQLite's signed INTEGER, over these fields, little-endian and without padding:

    part          uint8: what is covered, METADATA, TEXT, VECTOR, NAMESPACE, ENCODING_STAMP or JOURNAL
    present       uint8: 0 if the contents are NULL, 1 otherwise
    internal id   int64: 0 for a namespace
    namespace     int64: its number, 0 in the journal
    id length     uint32: bytes of the record id, 0 for a namespace and in the journal
    record id     UTF-8
    contents      as SQLite stores them: text as UTF-8, a blob as it is; of the journal the number of the commit, int64

The fields before the contents are there so that sound contents under the key of another row are noticed too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import xxhash

from vecgate_backends.errors import StorageCorruptError

SEED = 0x76677263  # "vgrc", the application id of the file
_FIELDS = struct.Struct("<BBqqI")
_COMMIT = struct.Struct("<q")

METADATA, TEXT, VECTOR, NAMESPACE, ENCODING_STAMP, JOURNAL = 1, 2, 3, 4, 5, 6
"""What a checksum covers; the numbers are part of the format."""
_NAMES: Mapping[int, str] = MappingProxyType(
    {METADATA: "metadata", TEXT: "text", VECTOR: "vector", ENCODING_STAMP: "encoding stamp"}
)


class RowKey(NamedTuple):
    """What tells a row from all others: internal id, number of the namespace, and record id in UTF-8."""

    internal_id: int
    namespace: int
    record_id: bytes

    def checksum(self, part: int, contents: bytes | None) -> int:
        """Return the checksum of one part of the row, in [-2^63, 2^63)."""
        return checksums(part, [self], [contents])[0]

    def verify(self, part: int, contents: bytes | None, stored: int | None) -> None:
        """Compare what was read with the checksum that was read.

        Raises:
            StorageCorruptError: they do not agree; the message names the record.
        """
        try:
            if self.checksum(part, contents) == stored:
                return
        except (struct.error, TypeError):
            pass  # in a damaged row the key has values of any type
        shown = (self.record_id or b"").decode(errors="replace")
        raise StorageCorruptError(
            f"records.db is damaged: the {_NAMES[part]} of record {shown!r} does not match its checksum"
        )


def checksums(part: int, keys: Sequence[RowKey], contents: Sequence[bytes | None]) -> list[int]:
    """Return the checksums of the same part of many rows."""
    pack, hashed = _FIELDS.pack, xxhash.xxh3_64_intdigest
    digests = [
        hashed(pack(part, own is not None, internal_id, namespace, len(record_id)) + record_id + (own or b""), SEED)
        for (internal_id, namespace, record_id), own in zip(keys, contents, strict=True)
    ]
    return [digest - 2**64 if digest >= 2**63 else digest for digest in digests]


def verify_all(
    part: int, keys: Sequence[RowKey], contents: Sequence[bytes | None], stored: Sequence[int | None]
) -> None:
    """Compare what was read with the checksums that were read, of the same part of many rows.

    Raises:
        StorageCorruptError: some do not agree; the message names the first record of these.
    """
    try:
        if checksums(part, keys, contents) == list(stored):
            return
    except (struct.error, TypeError):
        pass  # found again, with its name
    for key, own, claimed in zip(keys, contents, stored, strict=True):
        key.verify(part, own, claimed)


def journal_checksum(internal_id: int, sequence: int) -> int:
    """Return the checksum of a row of `journal`."""
    return RowKey(internal_id, 0, b"").checksum(JOURNAL, _COMMIT.pack(sequence))


def journal_is_sound(internal_id: object, sequence: object, stored: object) -> bool:
    """Whether a row of `journal` is as it was written; in a damaged one values may have any type."""
    if not isinstance(internal_id, int) or not isinstance(sequence, int):
        return False
    return journal_checksum(internal_id, sequence) == stored


def namespace_checksum(number: int, name: bytes | None) -> int:
    """Return the checksum of a row of `namespaces`; the name is in UTF-8."""
    return RowKey(0, number, b"").checksum(NAMESPACE, name)


def verify_namespace(number: int, name: bytes | None, stored: int | None) -> None:
    """Compare a row of `namespaces` with its checksum.

    Raises:
        StorageCorruptError: they do not agree.
    """
    if namespace_checksum(number, name) != stored:
        shown = (name or b"").decode(errors="replace")
        raise StorageCorruptError(f"records.db is damaged: namespace {shown!r} does not match its checksum")
