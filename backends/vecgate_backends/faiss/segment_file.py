"""Segment files: derived, checksummed, and trusted only where the manifest in the truth agrees with them.

Layout, all little-endian: magic "VGSEGMNT", format version (u32), dimension (u32), count (u64), internal ids (count x i64, ascending),
then the vectors in index form (count x dimension x f32) unless the kind is HNSW, whose graph holds them, then a Faiss index as
faiss.write_index gives it unless the kind is FLAT. Where there are both, the vectors are left in the file and mapped into memory.
The row of the manifest says how a file is to be read, so its checksum covers both: manifest_checksum tells how.
Version 2 is the same, but that its checksum is of the file alone; version 1 is like 2, with the kinds FLAT and HNSW alone.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
import xxhash
from numpy.typing import NDArray

from vecgate_backends.faiss.database import sync_path
from vecgate_backends.faiss.manifest import SegmentRow
from vecgate_backends.faiss.scoring import squared_norms
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.records import FlatIndex, FloatMatrix, FloatVector, HnswIndex

MAGIC = b"VGSEGMNT"
FILE_VERSION = 3
READABLE_VERSIONS = frozenset({1, 2, FILE_VERSION})
CHECKSUM_OF_THE_FILE_ALONE = 2
"""The last version whose checksum does not cover the row of the manifest."""
SUFFIX = ".segment"
_HEADER = struct.Struct("<8sIIQ")
_CHUNK_BYTES = 1 << 20
_NUMBER_BYTES = 4


class SegmentFileError(Exception):
    """The file is missing, damaged or not the one that the manifest means; its vectors are to be taken from the truth."""


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What a segment file holds.

    Attributes:
        kind: IndexConfig.kind.
        norms: squared lengths of the vectors, shape (count,); not in the file.
        faiss_index: None in a FLAT one; faiss.IndexHNSWFlat owns the memory of `vectors`.
    """

    kind: str
    internal_ids: NDArray[np.int64]
    vectors: FloatMatrix
    norms: FloatVector
    faiss_index: Any


def segment_path(directory: Path, uuid: str) -> Path:
    """Return where the file of a segment lies."""
    return directory / f"{uuid}{SUFFIX}"


def write_segment(path: Path, contents: SegmentContents) -> bytes:
    """Write a file, complete and durable or not at all, and return its XXH3-128, 16 bytes, big-endian.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_suffix(".new")
    try:
        with draft.open("wb") as file:
            checksum = _write(file, contents)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_path(path.parent)
    return checksum


def manifest_checksum(file_checksum: bytes, row: SegmentRow) -> bytes:
    """Return what the manifest has as the checksum of a file, which it describes by a row.

    It is the XXH3-128, big-endian, of the file's own XXH3-128 and then, as a JSON array in UTF-8 without spaces, what else the row says:
    uuid, namespace, kind, parameters, count, first and last internal id, file version.
    """
    if row.file_version <= CHECKSUM_OF_THE_FILE_ALONE:
        return file_checksum
    ends = (row.first_internal_id, row.last_internal_id)
    said = [row.uuid, row.namespace, row.kind, row.parameters, row.count, *ends, row.file_version]
    encoded = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return xxhash.xxh3_128(file_checksum + encoded).digest()


def read_segment(path: Path, row: SegmentRow, dimension: int) -> SegmentContents:
    """Read a file, after its checksum was found right: Faiss is never handed a damaged one.

    Raises:
        SegmentFileError: it is not what `row` says.
    """
    with _opened(path) as file:
        internal_ids = _checked_ids(file, row, dimension)
        return _read_vectors(file, internal_ids, dimension, row.kind)


def check_segment(path: Path, row: SegmentRow, dimension: int) -> None:
    """Do what read_segment does before it takes in the vectors and the index; 8 bytes a vector are held meanwhile.

    Raises:
        SegmentFileError: the file is not what `row` says.
    """
    with _opened(path) as file:
        _checked_ids(file, row, dimension)


def mapped_vectors(path: Path, contents: SegmentContents) -> FloatMatrix:
    """Return the vectors as the file written of `contents` has them, mapped into memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return _mapped(file, *contents.vectors.shape)


def graph_vectors(graph: Any) -> FloatMatrix:
    """Return the vectors of a faiss.IndexHNSWFlat, shape (ntotal, d), without a copy; valid as long as the graph is."""
    storage: Any = faiss.downcast_index(graph.storage)
    vectors: FloatMatrix = faiss.rev_swig_ptr(storage.get_xb(), graph.ntotal * graph.d).reshape(graph.ntotal, graph.d)
    return vectors


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read; whatever is wrong with it is a SegmentFileError that names it."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as unreadable:
        raise SegmentFileError(f"{path.name}: {unreadable.strerror or unreadable}") from unreadable
    except (struct.error, TypeError, ValueError, SegmentFileError) as wrong:  # a damaged row has values of any type
        raise SegmentFileError(f"{path.name}: {wrong}") from wrong


def _checked_ids(file: BinaryIO, row: SegmentRow, dimension: int) -> NDArray[np.int64]:
    """Return the internal ids, with the vectors next in the file, once its checksum and its header were found right."""
    _require(row.file_version in READABLE_VERSIONS, f"its format version is {row.file_version}")
    _require(_readable(row.parameters), "its parameters in the manifest are damaged")
    _require(manifest_checksum(_checksum(file), row) == row.checksum, "its checksum is wrong")
    file.seek(0)
    magic, version, width, count = _HEADER.unpack(file.read(_HEADER.size))
    _require((magic, version) == (MAGIC, row.file_version), "it is no segment file of that version")
    _require((width, count) == (dimension, row.count), f"it holds {count} vectors of {width} dimensions")
    internal_ids = np.fromfile(file, "<i8", count).astype(np.int64, copy=False)
    _require(_agrees(internal_ids, row), "its internal ids are not those of the manifest")
    return internal_ids


def _write(file: BinaryIO, contents: SegmentContents) -> bytes:
    digest = xxhash.xxh3_128()

    def write(data: bytes | memoryview) -> None:
        digest.update(data)
        file.write(data)

    count, dimension = contents.vectors.shape
    write(_HEADER.pack(MAGIC, FILE_VERSION, dimension, count))
    write(contents.internal_ids.astype("<i8").tobytes())
    if contents.kind != HnswIndex().kind:
        write(np.ascontiguousarray(contents.vectors, "<f4").view(np.uint8).data)
    if contents.faiss_index is not None:
        writer = faiss.PyCallbackIOWriter(write, _CHUNK_BYTES)  # type: ignore[attr-defined]  # Faiss's stubs lack it
        faiss.write_index(contents.faiss_index, writer)
    return bytes(digest.digest())


def _read_vectors(file: BinaryIO, internal_ids: NDArray[np.int64], dimension: int, kind: str) -> SegmentContents:
    shape = (len(internal_ids), dimension)
    if kind == FlatIndex.kind:
        numbers = np.fromfile(file, "<f4", math.prod(shape)).astype(np.float32, copy=False).reshape(shape)
        return SegmentContents(kind, internal_ids, numbers, squared_norms(numbers), None)
    apart = kind != HnswIndex().kind
    if apart:
        file.seek(math.prod(shape) * _NUMBER_BYTES, os.SEEK_CUR)
    reader = faiss.PyCallbackIOReader(file.read, _CHUNK_BYTES)  # type: ignore[attr-defined]  # Faiss's stubs lack it
    index = faiss.read_index(reader)
    _require((index.ntotal, index.d) == shape, f"its index has {index.ntotal} vectors of {index.d} dimensions")
    vectors = _mapped(file, *shape) if apart else graph_vectors(index)
    # Read through a mapping of their own, which ends here, so that these pages do not stay resident.
    norms = squared_norms(_mapped(file, *shape) if apart else vectors)
    return SegmentContents(kind, internal_ids, vectors, norms, index)


def _mapped(file: BinaryIO, count: int, dimension: int) -> FloatMatrix:
    begin = _HEADER.size + count * np.dtype(np.int64).itemsize
    mapped = np.memmap(file, "<f4", "r", begin, (count, dimension))
    return np.asarray(mapped).astype(np.float32, copy=False)  # an array like any other, which keeps the file mapped


def _checksum(file: BinaryIO) -> bytes:
    digest = xxhash.xxh3_128()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return bytes(digest.digest())


def _readable(parameters: str) -> bool:
    try:
        SegmentParameters.decode(parameters)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    return True


def _agrees(internal_ids: NDArray[np.int64], row: SegmentRow) -> bool:
    ends = (row.first_internal_id, row.last_internal_id)
    return (internal_ids[0], internal_ids[-1]) == ends and bool((np.diff(internal_ids) > 0).all())


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SegmentFileError(otherwise)
