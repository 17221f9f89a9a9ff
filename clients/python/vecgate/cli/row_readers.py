"""What is in a text file, row by row: JSON lines, CSV, TSV, plain lines.

A line that cannot be parsed is an InputFault that names it. What is in a row is for row_records to judge.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Never, TextIO

from vecgate.cli.faults import InputFault

LARGEST_CSV_FIELD = 2**31 - 1
"""Characters of one CSV field; the csv module's own bound of 131,072 would cut off long texts."""

ONE_OBJECT_A_LINE = (
    "JSON lines hold one object a line; jq -c '.[]' makes them of an array, jq -c . of objects over several lines"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file as it stands there.

    Attributes:
        line: its last line, from 1; of a file without lines its number.
        values: field name → value.
        part: what `line` counts, and in which file of a folder: "line", "row", "a.txt: line".
    """

    line: int
    values: Mapping[str, Any]
    part: str = "line"

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.part} {self.line}"


def json_rows(text: TextIO, name: str) -> Generator[Row]:
    """Read objects, one a line; blank lines are skipped."""
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


def _csv_rows(text: TextIO, name: str, *, delimiter: str = ",") -> Generator[Row]:
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


def _tsv_rows(text: TextIO, name: str) -> Generator[Row]:
    return _csv_rows(text, name, delimiter="\t")


def text_lines(text: TextIO, name: str) -> Generator[Row]:
    """Read the lines of a plain text, each as a row with the field "text"; an empty line is an empty text."""
    for line, content in enumerate(text, start=1):
        if "\0" in content:
            raise InputFault(f"{name}: line {line} holds a zero byte; this is no text file")
        yield Row(line, {"text": content.rstrip("\r\n")})


READERS: Mapping[str, Callable[[TextIO, str], Generator[Row]]] = {
    "jsonl": json_rows,
    "csv": _csv_rows,
    "tsv": _tsv_rows,
    "txt": text_lines,
}
"""Format of a text file → how to read it."""
