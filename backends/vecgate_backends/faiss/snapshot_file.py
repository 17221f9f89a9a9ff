"""Snapshot files: ids and metadata of all records as memory holds them, so that a start need not read them one by one.

A snapshot is derived and says which commit it covers. It is trusted only where the truth has it registered with this checksum; what
changed since is in the truth's journal, and what came since has greater internal ids.

Layout, all little-endian: magic "VGSNAPSH", format version (u32), bytes of the directory (u32), then the directory in JSON, then the
sections in the order of SECTIONS, each at a multiple of 8 bytes. The directory has the bytes of each section, and for each namespace what
it takes of them, in order:

    internal_ids, id_ends, id_text   internal ids, ascending; where each record id ends in the text of its namespace; that text
    having                           of each field a bitmap of the versions that have it, unless all have
    keys                             of each field its values outside columns, a JSON array as in metadata
    posting_bytes, postings          of each such value the bytes of its bitmap; 0 where it is one version, which is in `single`
    single                           such versions
    values, value_ids                of each column, in the order of COLUMN_TYPES, its pairs

Bitmaps are in Roaring's portable 64-bit format.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from pyroaring import BitMap64

from vecgate_backends.faiss.codec import decode_values, encode_values
from vecgate_backends.faiss.database import sync_path
from vecgate_backends.faiss.field_index import FieldIndex, Postings
from vecgate_backends.faiss.manifest import SnapshotRow
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.namespace_records import NamespaceRecords
from vecgate_backends.faiss.ordered_column import COLUMN_TYPES, OrderedColumn, bitmap
from vecgate_backends.faiss.packed_ids import PackedIds
from vecgate_backends.filters import value_key

MAGIC = b"VGSNAPSH"
FILE_VERSION = 1
SUFFIX = ".snapshot"
SECTIONS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "internal_ids": np.dtype("<i8"),
        "id_ends": np.dtype("<i8"),
        "id_text": np.dtype("u1"),
        "having": np.dtype("u1"),
        "keys": np.dtype("u1"),
        "posting_bytes": np.dtype("<i8"),
        "postings": np.dtype("u1"),
        "single": np.dtype("<i8"),
        "values": np.dtype("<i8"),
        "value_ids": np.dtype("<i8"),
    }
)
"""Name → what it is an array of; `values` are those of the column's own type."""
_HEADER = struct.Struct("<8sII")
_ALIGNMENT = 8
_CHUNK_BYTES = 1 << 20
_ALL = -1


class SnapshotFileError(Exception):
    """The file is missing, damaged or not the one that the truth means; what it holds is to be read from the truth."""


def snapshot_path(directory: Path, name: str) -> Path:
    """Return where the file of a snapshot lies."""
    return directory / f"{name}{SUFFIX}"


def write_snapshot(directory: Path, namespaces: Mapping[str, NamespaceRecords], sequence: int) -> SnapshotRow:
    """Write a file, complete and durable or not at all, and return what the truth is to say of it.

    Args:
        directory: of the snapshots.
        namespaces: what the collection held at a commit, without empty ones.
        sequence: the number of that commit.

    Raises:
        OSError: it cannot be written.
    """
    name = uuid.uuid4().hex
    path = snapshot_path(directory, name)
    draft = path.with_suffix(".new")
    digest = xxhash.xxh3_128()
    try:
        with draft.open("wb") as file:
            for part in _parts(namespaces):
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_path(directory)
    row = SnapshotRow(
        uuid=name,
        sequence=sequence,
        last_internal_id=max((int(own.internal_ids[-1]) for own in namespaces.values()), default=0),
        records=sum(map(len, namespaces.values())),
        checksum=b"",
        file_version=FILE_VERSION,
    )
    return replace(row, checksum=registered_checksum(digest.digest(), row))


def registered_checksum(file_checksum: bytes, row: SnapshotRow) -> bytes:
    """Return what the truth has as the checksum of a file, which it describes by a row.

    It is the XXH3-128, big-endian, of the file's own XXH3-128 and then, as a JSON array in UTF-8 without spaces, what else the row says:
    uuid, sequence, last internal id, records, file version.
    """
    said = [row.uuid, row.sequence, row.last_internal_id, row.records, row.file_version]
    return xxhash.xxh3_128(file_checksum + json.dumps(said, separators=(",", ":")).encode()).digest()


def check_snapshot(directory: Path, row: SnapshotRow) -> None:
    """Compare a file with its checksum, in little memory.

    Raises:
        SnapshotFileError: it is not what `row` says.
    """
    path = snapshot_path(directory, row.uuid)
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        _require_sound(path, row, digest.digest())
    except (OSError, ValueError, TypeError) as unreadable:  # a damaged row has values of any type
        raise SnapshotFileError(f"{path.name}: {unreadable}") from unreadable


def read_snapshot(directory: Path, row: SnapshotRow) -> dict[str, NamespaceRecords]:
    """Read what a collection held by namespace, once the checksum of the file was found right.

    Raises:
        SnapshotFileError: it is not what `row` says.
    """
    path = snapshot_path(directory, row.uuid)
    try:
        content = np.fromfile(path, np.uint8)
        _require_sound(path, row, xxhash.xxh3_128(content.data).digest())
    except (OSError, ValueError, TypeError) as unreadable:  # as above
        raise SnapshotFileError(f"{path.name}: {unreadable}") from unreadable
    _, _, directory_bytes = _HEADER.unpack_from(content.data)
    begin = _HEADER.size
    table = json.loads(content[begin : begin + directory_bytes].tobytes())
    begin = _aligned(begin + directory_bytes)
    sections: dict[str, NDArray[Any]] = {}
    for (section, dtype), size in zip(SECTIONS.items(), table["sections"], strict=True):
        sections[section] = content[begin : begin + size].view(dtype)
        begin = _aligned(begin + size)
    reader = _SectionReader(sections)
    return {name: reader.namespace(*entry) for name, *entry in table["namespaces"]}


class _SectionWriter:
    """Collects sections as namespaces are put into them."""

    def __init__(self) -> None:
        self.sections: dict[str, list[Any]] = defaultdict(list)

    def namespace(self, held: NamespaceRecords) -> list[Any]:
        """Put one in, and return its entry of the directory."""
        text, ends = held.ids.packed()
        self._put("internal_ids", held.internal_ids)
        self._put("id_ends", ends)
        self._put("id_text", text)
        fields = [
            [field, *self._field(index, whole=len(index.having) == len(held.internal_ids))]
            for field, index in held.metadata.fields.items()
        ]
        return [len(held.internal_ids), len(text), fields]

    def _field(self, index: FieldIndex, *, whole: bool) -> list[Any]:
        having = b"" if whole else index.having.serialize()
        self._put("having", having)
        keys = encode_values([value for _, value in index.postings]) if index.postings else b""
        self._put("keys", keys)
        bitmaps = [b"" if isinstance(held, int) else held.serialize() for held in index.postings.values()]
        self._put("posting_bytes", np.array([*map(len, bitmaps)], np.int64))
        self._put("postings", b"".join(bitmaps))
        self._put("single", np.array([held for held in index.postings.values() if isinstance(held, int)], np.int64))
        for name in COLUMN_TYPES:
            column = index.columns.get(name)
            if column is not None:
                self._put("values", column.values.view("<i8"))
                self._put("value_ids", column.internal_ids)
        columns = [len(index.columns[name]) if name in index.columns else 0 for name in COLUMN_TYPES]
        return [_ALL if whole else len(having), len(keys), len(index.postings), columns]

    def _put(self, section: str, part: Any) -> None:
        self.sections[section].append(part)


class _SectionReader:
    """Takes namespaces out of sections in the order in which they were put in."""

    def __init__(self, sections: Mapping[str, NDArray[Any]]) -> None:
        self._sections = sections
        self._taken: dict[str, int] = dict.fromkeys(sections, 0)

    def namespace(self, records: int, text_bytes: int, fields: list[list[Any]]) -> NamespaceRecords:
        """Take out the next one."""
        internal_ids = self._take("internal_ids", records)
        ids = PackedIds(self._take("id_text", text_bytes), self._take("id_ends", records + 1))
        everything = bitmap(internal_ids)
        held = {field: self._field(everything, *entry) for field, *entry in fields}
        return NamespaceRecords(internal_ids, ids, MetadataIndex.of(everything, held))

    def _field(
        self, everything: BitMap64, having_bytes: int, key_bytes: int, keys: int, columns: list[int]
    ) -> FieldIndex:
        having = (
            everything.copy() if having_bytes == _ALL else BitMap64.deserialize(self._bytes("having", having_bytes))
        )
        values = decode_values(self._bytes("keys", key_bytes)) if keys else []
        sizes = self._take("posting_bytes", keys).tolist()
        postings = {value_key(value): self._posting(size) for value, size in zip(values, sizes, strict=True)}
        held = {
            name: OrderedColumn(of, self._take("values", pairs).view(of.dtype), self._take("value_ids", pairs))
            for (name, of), pairs in zip(COLUMN_TYPES.items(), columns, strict=True)
            if pairs
        }
        return FieldIndex.of(having, postings, held)

    def _posting(self, size: int) -> Postings:
        return BitMap64.deserialize(self._bytes("postings", size)) if size else int(self._take("single", 1)[0])

    def _bytes(self, section: str, size: int) -> bytes:
        return bytes(self._take(section, size))

    def _take(self, section: str, count: int) -> NDArray[Any]:
        begin = self._taken[section]
        self._taken[section] = begin + count
        return self._sections[section][begin : begin + count]


def _parts(namespaces: Mapping[str, NamespaceRecords]) -> Iterator[Any]:
    """Yield the file in parts."""
    writer = _SectionWriter()
    entries = [[name, *writer.namespace(held)] for name, held in namespaces.items()]
    joined = {section: _joined(writer.sections[section], dtype) for section, dtype in SECTIONS.items()}
    table = json.dumps({"sections": [part.nbytes for part in joined.values()], "namespaces": entries}).encode()
    yield _HEADER.pack(MAGIC, FILE_VERSION, len(table))
    yield _padded(table, _HEADER.size)
    for part in joined.values():
        yield part
        yield _padded(b"", part.nbytes)


def _joined(parts: Iterable[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    arrays = [
        np.frombuffer(part, dtype) if isinstance(part, bytes) else part.astype(dtype, copy=False) for part in parts
    ]
    return np.concatenate([np.empty(0, dtype), *arrays])


def _require_sound(path: Path, row: SnapshotRow, file_checksum: bytes) -> None:
    if row.file_version != FILE_VERSION:
        raise SnapshotFileError(f"{path.name}: its format version is {row.file_version}")
    if registered_checksum(file_checksum, row) != row.checksum:
        raise SnapshotFileError(f"{path.name}: its checksum is wrong")


def _padded(part: bytes, before: int) -> bytes:
    """Return what is written behind `before` bytes with what is missing to the next multiple of 8."""
    return part + bytes(-(before + len(part)) % _ALIGNMENT)


def _aligned(offset: int) -> int:
    return offset + -offset % _ALIGNMENT
