"""Texts for the commands that store nothing: the rows of a file, or what is given with --text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vecgate.cli.faults import InputFault
from vecgate.cli.indexing import checked, count_rows
from vecgate.cli.row_readers import Row
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import FORMATS, source
from vecgate.errors import InvalidArgumentError

BATCH_TEXTS = 128
"""Texts of one request, so that progress shows and an error is about few of them."""

PLACE_IN_BATCH = re.compile(r"texts\[(?P<index>\d+)\]")
"""Begins the paths of wrong fields of a request about texts."""


def text_rows(
    file: str | None, texts: tuple[str, ...], file_format: str | None, mapping: RowMapping
) -> tuple[Iterator[Row], int | None]:
    """Return the rows, and how many there are; None for what cannot be read twice.

    Raises:
        click.UsageError: not exactly one of file and texts was given.
        InputFault: a line of the file cannot be read.
    """
    if (file is None) == (not texts):
        raise click.UsageError("give either FILE or --text")
    if file is None:
        return iter([Row(line, {mapping.text_fields[0]: text}) for line, text in enumerate(texts, start=1)]), len(texts)
    text_file = source(file, file_format, FORMATS)
    return checked(text_file, mapping.check_text), count_rows(text_file, mapping.check_text)


def text_of(mapping: RowMapping, row: Row) -> str:
    """Return the text of a row.

    Raises:
        InputFault: it has none.
    """
    text = mapping.text_of(row)
    if text is None:
        raise InputFault(f"{row.place}: no text")
    return text


def id_of(mapping: RowMapping, row: Row) -> str:
    """Return the id of a row, or else the number of its line."""
    return mapping.id_of(row) if row.values.get(mapping.id_field) is not None else str(row.line)


@contextmanager
def lines_named(batch: list[Row]) -> Iterator[None]:
    """Let an error say in which lines of the file the wrong texts of a batch stand."""
    try:
        yield
    except InvalidArgumentError as error:
        for violation in error.violations:
            if place := PLACE_IN_BATCH.match(violation.field):
                error.add_note(f"{place[0]} is in {batch[int(place['index'])].place}")
        raise
