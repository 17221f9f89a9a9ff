"""Files of vectors, written as a stream: Parquet, NumPy, JSON lines. A file appears under its name when it is whole."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from vecgate.cli.faults import InputFault
from vecgate.cli.parquet import load_pyarrow
from vecgate.cli.whole_files import GivenUpStream, given_up_on_failure, whole_file


class VectorWriter(Protocol):
    """Takes vectors in portions."""

    def write(self, ids: Sequence[str], texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write a portion; row i of `vectors`, shape (n, dimension), belongs to ids[i] and texts[i]."""

    def finish(self) -> None:
        """Write what belongs at the end."""


class NpyWriter:
    """A float32 matrix of shape (n, dimension). The header is written again when n is known; NumPy leaves room for it."""

    def __init__(self, stream: GivenUpStream) -> None:
        self._stream = stream
        self._shape = (0, 0)

    def write(self, ids: Sequence[str], texts: Sequence[str], vectors: NDArray[np.float32]) -> None:  # noqa: ARG002  # a matrix has rows only
        """Write rows."""
        if self._shape == (0, 0):
            self._stream.write(_npy_header((0, vectors.shape[1])))
        self._stream.write(vectors.astype("<f4", copy=False).tobytes())
        self._shape = (self._shape[0] + len(vectors), vectors.shape[1])

    def finish(self) -> None:
        """Write the number of rows."""
        self._stream.seek(0)
        self._stream.write(_npy_header(self._shape))


class JsonLinesWriter:
    """One object a line: id, text, vector."""

    def __init__(self, stream: GivenUpStream) -> None:
        self._stream = stream

    def write(self, ids: Sequence[str], texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write lines."""
        for id_, text, vector in zip(ids, texts, vectors.tolist(), strict=True):
            line = json.dumps({"id": id_, "text": text, "vector": vector}, ensure_ascii=False)
            self._stream.write(line.encode() + b"\n")

    def finish(self) -> None:
        """Hand everything on."""
        self._stream.flush()


class ParquetWriter:
    """Columns id, text and vector, the last a list of fixed size of float32; each portion is a row group."""

    def __init__(self, stream: GivenUpStream) -> None:
        self._arrow = load_pyarrow()
        self._stream = stream
        self._writer: Any = None

    def write(self, ids: Sequence[str], texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Write a row group."""
        arrow = self._arrow
        flat = arrow.array(vectors.reshape(-1), type=arrow.float32())
        columns = {
            "id": arrow.array(ids, type=arrow.string()),
            "text": arrow.array(texts, type=arrow.string()),
            "vector": arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
        table = arrow.table(columns)
        if self._writer is None:
            self._writer = arrow.parquet.ParquetWriter(self._stream, table.schema)
        self._writer.write_table(table)

    def finish(self) -> None:
        """Write the footer; without any vector the size of the lists is unknown."""
        if self._writer is None:
            arrow = self._arrow
            types = {"id": arrow.string(), "text": arrow.string(), "vector": arrow.list_(arrow.float32())}
            self._writer = arrow.parquet.ParquetWriter(self._stream, arrow.schema(types))
        self._writer.close()


WRITERS: Mapping[str, type[NpyWriter | JsonLinesWriter | ParquetWriter]] = {
    ".jsonl": JsonLinesWriter,
    ".npy": NpyWriter,
    ".parquet": ParquetWriter,
}
"""Suffix of an output file → how to write it."""


@contextmanager
def vector_writer(path: Path | None) -> Iterator[VectorWriter]:
    """Open a file of vectors, or, for None, JSON lines on stdout; what was begun and not finished is removed.

    Raises:
        InputFault: the suffix tells no format, or the format needs an extra.
        OSError: the file cannot be written.
    """
    if path is None:
        with given_up_on_failure(sys.stdout.buffer) as stdout:
            writer: VectorWriter = JsonLinesWriter(stdout)
            yield writer
            writer.finish()
        return
    if path.suffix not in WRITERS:
        raise InputFault(f"{path}: the suffix tells no format", f"end it with {' or '.join(WRITERS)}")
    with whole_file(path) as stream, given_up_on_failure(stream) as guarded:
        writer = WRITERS[path.suffix](guarded)
        yield writer
        writer.finish()


def _npy_header(shape: tuple[int, int]) -> bytes:
    header = io.BytesIO()
    npy_format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()
