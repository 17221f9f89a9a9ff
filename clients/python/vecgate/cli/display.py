"""Results on the terminal: tables for people, JSON lines for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vecgate.records import MetadataValue
from vecgate.timestamps import Timestamp

SNIPPET_CHARACTERS = 200
"""Characters of a text that a table shows."""


def print_json(value: object) -> None:
    """Print a result as one line of JSON; timestamps as RFC 3339, vectors as lists."""
    click.echo(json.dumps(plain(value), ensure_ascii=False))


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
    """Print rows under headings; numbers to the right, text as it is, never as markup."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left")
    cells = [list(row) for row in rows]
    for position, column in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[position], int | float) for row in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    Console().print(table)


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


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
