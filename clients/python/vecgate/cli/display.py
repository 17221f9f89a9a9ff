"""Results on the terminal: tables for people, JSON lines for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from vecgate.records import MetadataValue
from vecgate.timestamps import Timestamp

SNIPPET_CHARACTERS = 200
"""Characters of a text that a table shows."""

LONGEST_WORD = 40
"""Columns of the terminal in which a table keeps a name or number on one line, at the cost of the columns with more in them."""

PROSE_WIDTH = 20
"""Columns of the terminal that a column of longer texts gets at least."""

COLUMN_GAP = 3
"""Columns of the terminal between two columns of a table."""

CONTROL_CHARACTERS = dict.fromkeys((*range(32), *range(127, 160)), "�") | dict.fromkeys(
    map(ord, "\t\n\r\x0b\x0c\x85\u2028\u2029"), " "
)
"""What is shown in the place of characters that would break a row, or tell the terminal to do something."""


def print_json(value: object) -> None:
    """Print a result as one line of JSON, in UTF-8 wherever it goes; timestamps as RFC 3339, vectors as lists."""
    click.echo(json.dumps(plain(value), ensure_ascii=False).encode())


def plain(value: object) -> Any:
    """Return what a result is in the terms of JSON."""
    match value:
        case Timestamp():
            return str(value)
        case np.ndarray():
            return value.tolist()
        case Mapping():
            return {str(name): plain(part) for name, part in value.items()}
        case tuple() | list():
            return [plain(part) for part in value]
        case _ if dataclasses.is_dataclass(value):
            return {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
        case _:
            return value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print rows under headings; numbers to the right, None as nothing, text as it is, never as markup.

    On a terminal long texts are folded; elsewhere a row is one line, for grep.
    """
    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left")
    cells = [list(row) for row in rows]
    folded = sys.stdout.isatty()
    needed = 1
    for position, column in enumerate(columns):
        values = [row[position] for row in cells if row[position] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        words = [column, *map(_cell, values)]
        longest = max(map(cell_len, words))
        width = longest if not folded or all(map(_is_word, words)) else min(longest, PROSE_WIDTH)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", min_width=width)
        needed += width + COLUMN_GAP
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console()
    # On a narrow terminal lines run over its edge: leaving columns out would say less than was asked.
    console.size = ConsoleDimensions(max(console.width, needed) if folded else needed, console.height)
    console.print(table)


def snippet(text: str | None) -> str:
    """Return the beginning of a text on one line; "" for none."""
    line = " ".join((text or "").split())
    return line if len(line) <= SNIPPET_CHARACTERS else f"{line[: SNIPPET_CHARACTERS - 1]}…"


def metadata_words(metadata: Mapping[str, MetadataValue]) -> str:
    """Return metadata for people: section=games year=2024 tags=a,b."""
    return " ".join(f"{name}={_words(value)}" for name, value in metadata.items())


def _words(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _is_word(cell: str) -> bool:
    return cell_len(cell) <= LONGEST_WORD and not any(map(str.isspace, cell))


def _cell(value: object) -> str:
    if value is None:
        return ""
    shown = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    return shown.translate(CONTROL_CHARACTERS)
