"""Segment files: derived, checksummed, and trusted only where the manifest in the truth agrees with them.

Layout, all little-endian: magic "VGSEGMNT", format version (u32), dimension (u32), count (u64), internal ids (count x i64, ascending),
then for a FLAT segment the vectors in index form (count x dimension x f32), for HNSW a Faiss index as faiss.write_index gives it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
import xxhash
from numpy.typing import NDArray

from vecgate_backends.faiss.database import sync_path
from vecgate_backends.faiss.truth import SegmentRow
from vecgate_backends.records import FloatMatrix

MAGIC = b"VGSEGMNT"
FILE_VERSION = 1
SUFFIX = ".segment"
_HEADER = struct.Struct("<8sIIQ")
_CHUNK_BYTES = 1 << 20


class SegmentFileError(Exception):
    """The file is missing, damaged or not the one that the manifest means; its vectors are to be taken from the truth."""


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What a segment file holds; `graph` is None in a FLAT one, else faiss.IndexHNSWFlat, which owns the memory of `vectors`."""

    internal_ids: NDArray[np.int64]
    vectors: FloatMatrix
    graph: Any


def segment_path(directory: Path, uuid: str) -> Path:
    """Return where the file of a segment lies."""
    return directory / f"{uuid}{SUFFIX}"


def write_segment(path: Path, contents: SegmentContents) -> bytes:
    """Write a file, complete and durable or not at all, and return its checksum.

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


def read_segment(path: Path, row: SegmentRow, dimension: int) -> SegmentContents:
    """Read a file, after its checksum was found right: Faiss is never handed a damaged one.

    Raises:
        SegmentFileError: it is not what `row` says.
    """
    try:
        with path.open("rb") as file:
            _require(row.file_version == FILE_VERSION, f"its format version is {row.file_version}")
            _require(_checksum(file) == row.checksum, "its checksum is wrong")
            file.seek(0)
            magic, version, width, count = _HEADER.unpack(file.read(_HEADER.size))
            _require((magic, version) == (MAGIC, FILE_VERSION), "it is no segment file of this version")
            _require((width, count) == (dimension, row.count), f"it holds {count} vectors of {width} dimensions")
            internal_ids = np.fromfile(file, "<i8", count).astype(np.int64, copy=False)
            _require(_agrees(internal_ids, row), "its internal ids are not those of the manifest")
            return _read_vectors(file, internal_ids, dimension, row.kind)
    except (OSError, struct.error) as unreadable:
        raise SegmentFileError(f"{path.name}: {unreadable}") from unreadable
    except SegmentFileError as wrong:
        raise SegmentFileError(f"{path.name}: {wrong}") from wrong


def graph_vectors(graph: Any) -> FloatMatrix:
    """Return the vectors of a faiss.IndexHNSWFlat, shape (ntotal, d), without a copy; valid as long as the graph is."""
    storage: Any = faiss.downcast_index(graph.storage)
    vectors: FloatMatrix = faiss.rev_swig_ptr(storage.get_xb(), graph.ntotal * graph.d).reshape(graph.ntotal, graph.d)
    return vectors


def _write(file: BinaryIO, contents: SegmentContents) -> bytes:
    digest = xxhash.xxh3_128()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    count, dimension = contents.vectors.shape
    write(_HEADER.pack(MAGIC, FILE_VERSION, dimension, count))
    write(contents.internal_ids.astype("<i8").tobytes())
    if contents.graph is None:
        write(contents.vectors.astype("<f4").tobytes())
    else:
        writer = faiss.PyCallbackIOWriter(write, _CHUNK_BYTES)  # type: ignore[attr-defined]  # Faiss's stubs lack it
        faiss.write_index(contents.graph, writer)
    return bytes(digest.digest())


def _read_vectors(file: BinaryIO, internal_ids: NDArray[np.int64], dimension: int, kind: str) -> SegmentContents:
    count = len(internal_ids)
    if kind == "flat":
        numbers = np.fromfile(file, "<f4", count * dimension).astype(np.float32, copy=False)
        return SegmentContents(internal_ids, numbers.reshape(count, dimension), None)
    reader = faiss.PyCallbackIOReader(file.read, _CHUNK_BYTES)  # type: ignore[attr-defined]  # Faiss's stubs lack it
    graph = faiss.read_index(reader)
    _require(
        (graph.ntotal, graph.d) == (count, dimension), f"its graph has {graph.ntotal} nodes of {graph.d} dimensions"
    )
    return SegmentContents(internal_ids, graph_vectors(graph), graph)


def _checksum(file: BinaryIO) -> bytes:
    digest = xxhash.xxh3_128()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return bytes(digest.digest())


def _agrees(internal_ids: NDArray[np.int64], row: SegmentRow) -> bool:
    ends = (row.first_internal_id, row.last_internal_id)
    return (internal_ids[0], internal_ids[-1]) == ends and bool((np.diff(internal_ids) > 0).all())


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SegmentFileError(otherwise)
