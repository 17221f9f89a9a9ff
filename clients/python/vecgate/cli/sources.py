"""Files of records, read row by row: JSON lines, CSV, TSV, plain lines; gzip by suffix; `-` is stdin.

A file that cannot be read, or a line that cannot be parsed, is an InputFault that names the line. What is in a row is for
row_records to judge.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never, TextIO

from vecgate.cli.faults import InputFault

STDIN = "-"
LARGEST_CSV_FIELD = 2**31 - 1
"""Characters of one CSV field; the csv module's own bound of 131,072 would cut off long texts."""

ONE_OBJECT_A_LINE = (
    "JSON lines hold one object a line; jq -c '.[]' makes them of an array, jq -c . of objects over several lines"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file as it stands there; `line` is its last line, from 1."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, as often as needed if it is `rereadable`."""

    path: str
    file_format: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def rereadable(self) -> bool:
        """Whether it is a regular file, so that it can be read from the start again."""
        return self.path != STDIN and stat.S_ISREG(Path(self.path).stat().st_mode)

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            InputFault: the file is damaged or not of its format; the message names the line.
        """
        line = 0
        try:
            with _text(self.path) as text:
                for row in READERS[self.file_format](text, self.name):
                    line = row.line
                    yield row
        except UnicodeDecodeError as error:
            raise InputFault(
                f"{self.name}: not UTF-8 text, after line {line}: {error.reason}",
                "iconv turns other encodings into UTF-8",
            ) from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputFault(f"{self.name}: damaged gzip data, after line {line}: {error}") from error


def source(path: str, file_format: str | None, formats: Sequence[str]) -> Source:
    """Take a path and its format, which the suffix tells unless it is given; stdin is JSON lines.

    Args:
        path: of a file, or "-" for stdin.
        file_format: one of `formats`, or None.
        formats: those that the caller can use.

    Raises:
        InputFault: the suffix tells nothing.
    """
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    chosen = file_format or ("jsonl" if path == STDIN else SUFFIXES.get(suffix))
    if chosen is None or chosen not in formats:
        raise InputFault(f"{path}: the suffix {suffix!r} tells no usable format", f"pass --format {'|'.join(formats)}")
    return Source(path, chosen)


@contextmanager
def _text(path: str) -> Iterator[TextIO]:
    if path == STDIN:
        # The process's own text stream may have another encoding.
        text = io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", newline="")
        try:
            yield text
        finally:
            text.detach()
        return
    opener: Callable[..., Any] = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
        yield text


def _json_rows(text: TextIO, name: str) -> Iterator[Row]:
    for line, content in enumerate(text, start=1):
        if not content.strip():
            continue
        try:
            values = json.loads(content, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            fault = f"{error.msg} at column {error.pos + 1}"
            raise InputFault(f"{name}: line {line} is not JSON: {fault}", ONE_OBJECT_A_LINE) from error
        except (ValueError, RecursionError) as error:
            raise InputFault(f"{name}: line {line} is not JSON: {error}") from error
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise InputFault(f"{name}: line {line} is not a JSON object but {kind}", ONE_OBJECT_A_LINE)
        yield Row(line, values)


def _refuse_constant(constant: str) -> Never:
    raise ValueError(f"{constant} is not JSON")


def _csv_rows(text: TextIO, name: str, *, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(LARGEST_CSV_FIELD)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise InputFault(f"{name}: empty; a CSV file begins with a line of column names")
        if repeated := sorted({column for column in header if header.count(column) > 1}):
            raise InputFault(f"{name}: the column {repeated[0]!r} comes twice")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputFault(
                    f"{name}: line {reader.line_num} has {len(cells)} columns, the first line names {len(header)}"
                )
            yield Row(reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise InputFault(f"{name}: line {reader.line_num} is not CSV: {error}") from error


def _tsv_rows(text: TextIO, name: str) -> Iterator[Row]:
    return _csv_rows(text, name, delimiter="\t")


def _text_rows(text: TextIO, name: str) -> Iterator[Row]:
    for line, content in enumerate(text, start=1):
        if "\0" in content:
            raise InputFault(f"{name}: line {line} holds a zero byte; this is no text file")
        yield Row(line, {"text": content.rstrip("\r\n")})


READERS: Mapping[str, Callable[[TextIO, str], Iterator[Row]]] = {
    "jsonl": _json_rows,
    "csv": _csv_rows,
    "tsv": _tsv_rows,
    "txt": _text_rows,
}
"""Format → how to read it."""
SUFFIXES: Mapping[str, str] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
}
"""Suffix of a file, `.gz` taken off → its format."""
TYPED_FORMATS = frozenset({"jsonl"})
"""Formats whose values have types; in the others everything is text and an empty cell means nothing."""
