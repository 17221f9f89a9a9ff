"""vecgate encode: texts into vectors, to be kept in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from vecgate.cli.faults import InputFault
from vecgate.cli.indexing import batched, checked, count_rows
from vecgate.cli.options import id_field_option, text_fields_option, with_client
from vecgate.cli.progress import progress_bar
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import READERS, Row, source
from vecgate.cli.vector_files import vector_writer
from vecgate.client import Client
from vecgate.errors import InvalidArgumentError
from vecgate.records import Role, Truncation
from vecgate.wire.choices import ROLES, TRUNCATIONS

BATCH_TEXTS = 128
"""Texts between two writes."""

PLACE_IN_BATCH = re.compile(r"texts\[(?P<index>\d+)\]")
"""Begins the paths of wrong fields of an Encode request."""


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text to encode, instead of FILE; repeatable.")
@click.option(
    "--format", "file_format", type=click.Choice(list(READERS)), help="Format of FILE; default: by its suffix."
)
@id_field_option
@text_fields_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Where to write, .parquet, .npy or .jsonl; default: JSON lines on stdout.",
)
@click.option(
    "--role", type=click.Choice(list(ROLES)), default="document", show_default=True, help="What texts are for."
)
@click.option("--model", metavar="NAME", help="The model; default: the server's.")
@click.option(
    "--truncation",
    type=click.Choice(list(TRUNCATIONS)),
    default="truncate",
    show_default=True,
    help="What to do about texts longer than the model reads.",
)
@with_client
def encode(
    client: Client,
    file: str | None,
    texts: tuple[str, ...],
    file_format: str | None,
    id_field: str,
    text_fields: tuple[str, ...],
    output: Path | None,
    role: Role,
    model: str | None,
    truncation: Truncation,
) -> None:
    """Encode the texts of FILE (JSON lines, CSV, TSV, or a text a line; - for stdin), or those given with --text.

    Rows without an id are numbered by their lines.
    """
    if (file is None) == (not texts):
        raise click.UsageError("give either FILE or --text")
    mapping = RowMapping(id_field, text_fields)
    if file is None:
        rows: Iterator[Row] = iter([Row(line, {text_fields[0]: text}) for line, text in enumerate(texts, start=1)])
        total: int | None = len(texts)
    else:
        text_file = source(file, file_format, list(READERS))
        total = count_rows(text_file, mapping.check_text)
        rows = checked(text_file, mapping.check_text)
    cut = done = 0
    with vector_writer(output) as writer, progress_bar("encoding", total=total) as bar:
        for batch in batched(rows, BATCH_TEXTS):
            batch_texts = [_text(mapping, row) for row in batch]
            with _lines_named(batch):
                embeddings = client.encode(batch_texts, role, model=model, truncation=truncation)
            writer.write([_id(mapping, row) for row in batch], batch_texts, embeddings.vectors)
            cut += int(embeddings.truncated.sum())
            done += len(batch)
            bar.done(done)
    if cut:
        click.echo(f"{cut:,} of {done:,} texts were longer than the model reads and were cut", err=True)
    if output is not None:
        click.echo(f"wrote {done:,} vectors to {output}")


@contextmanager
def _lines_named(batch: list[Row]) -> Iterator[None]:
    """Let an error say in which lines of the file the wrong texts of a batch stand."""
    try:
        yield
    except InvalidArgumentError as error:
        for violation in error.violations:
            if place := PLACE_IN_BATCH.match(violation.field):
                error.add_note(f"{place[0]} is in line {batch[int(place['index'])].line}")
        raise


def _text(mapping: RowMapping, row: Row) -> str:
    text = mapping.text_of(row)
    if text is None:
        raise InputFault(f"line {row.line}: no text")
    return text


def _id(mapping: RowMapping, row: Row) -> str:
    return mapping.id_of(row) if row.values.get(mapping.id_field) is not None else str(row.line)
