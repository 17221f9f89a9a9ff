"""Exports, written as a stream: JSON lines, gzipped or not, and Parquet."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecgate.cli.export_format import END, HEADER, Settings, metadata_to_json, record_to_json
from vecgate.cli.faults import InputFault
from vecgate.cli.parquet import load_pyarrow
from vecgate.cli.sources import STDIN
from vecgate.cli.whole_files import GivenUpStream, given_up_on_failure, whole_file
from vecgate.results import StoredRecord

EXPORT_FORMATS = ("jsonl", "parquet")
GZIP_LEVEL = 6
"""Vectors hardly shrink; a higher level takes longer for nothing."""


class ExportWriter(Protocol):
    """Takes the records of an export in portions."""

    def write(self, namespace: str, records: Sequence[StoredRecord]) -> None:
        """Write records with their vectors."""

    def finish(self) -> None:
        """Write what belongs at the end."""


class JsonLinesExport:
    """Settings, records, their number: an object a line."""

    def __init__(self, stream: GivenUpStream, settings: Settings) -> None:
        self._stream = stream
        self._records = 0
        self._write({HEADER: settings.to_json()})

    def write(self, namespace: str, records: Sequence[StoredRecord]) -> None:
        """Write a line a record."""
        for record in records:
            self._write(record_to_json(namespace, record))
        self._records += len(records)

    def finish(self) -> None:
        """Write how many there were, so that a file that was cut off is known as such."""
        self._write({END: {"records": self._records}})
        self._stream.flush()

    def _write(self, value: object) -> None:
        self._stream.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


class ParquetExport:
    """Columns namespace, id, text, vector (a list of fixed size of float32) and metadata (JSON); a portion is a row group."""

    def __init__(self, stream: GivenUpStream, settings: Settings) -> None:
        self._arrow: Any = load_pyarrow()
        self._dimension = settings.dimension
        arrow = self._arrow
        self._schema = arrow.schema(
            [
                arrow.field("namespace", arrow.string(), nullable=False),
                arrow.field("id", arrow.string(), nullable=False),
                arrow.field("text", arrow.string()),
                arrow.field("vector", arrow.list_(arrow.float32(), settings.dimension)),
                arrow.field("metadata", arrow.string(), nullable=False),
            ],
            metadata={HEADER: json.dumps(settings.to_json(), ensure_ascii=False)},
        )
        self._writer = arrow.parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, namespace: str, records: Sequence[StoredRecord]) -> None:
        """Write a row group."""
        arrow = self._arrow
        flat = np.concatenate([record.vector for record in records if record.vector is not None])
        metadata = [json.dumps(metadata_to_json(record.metadata), ensure_ascii=False) for record in records]
        columns = [
            arrow.array([namespace] * len(records), type=arrow.string()),
            arrow.array([record.id for record in records], type=arrow.string()),
            arrow.array([record.text for record in records], type=arrow.string()),
            arrow.FixedSizeListArray.from_arrays(arrow.array(flat, type=arrow.float32()), self._dimension),
            arrow.array(metadata, type=arrow.string()),
        ]
        self._writer.write_batch(arrow.RecordBatch.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """Write the footer."""
        self._writer.close()


WRITERS: Mapping[str, type[JsonLinesExport | ParquetExport]] = {"jsonl": JsonLinesExport, "parquet": ParquetExport}


def export_format(path: str, chosen: str | None) -> str:
    """Return the format of an export, which the suffix tells unless it is given; on stdout it is JSON lines.

    Raises:
        InputFault: the suffix tells none, or Parquet was to be gzipped.
    """
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    found = chosen or {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}.get(suffix)
    if found is None and path == STDIN:
        return "jsonl"
    if found is None:
        raise InputFault(
            f"{path}: the suffix {suffix!r} tells no format of exports", "end it with .jsonl, .jsonl.gz or .parquet"
        )
    if found == "parquet" and path.endswith(".gz"):
        raise InputFault(f"{path}: Parquet compresses its own columns", "leave out .gz")
    return found


@contextmanager
def export_writer(path: str, file_format: str, settings: Settings) -> Iterator[ExportWriter]:
    """Open an export, "-" for stdout; a file appears when it is whole.

    Raises:
        InputFault: Parquet needs its extra.
        OSError: it cannot be written.
    """
    with ExitStack() as opened:
        stream: Any = sys.stdout.buffer
        if path != STDIN:
            stream = opened.enter_context(whole_file(Path(path)))
        if path.endswith(".gz"):
            # Neither a name nor a time in the header: equal exports are equal files.
            stream = opened.enter_context(
                gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=stream, mtime=0)
            )
        writer = WRITERS[file_format](opened.enter_context(given_up_on_failure(stream)), settings)
        yield writer
        writer.finish()
