"""vecgate encode: texts into vectors, to be kept in a file."""

from __future__ import annotations

from pathlib import Path

import click

from vecgate.cli.completion import model_names
from vecgate.cli.indexing import batched
from vecgate.cli.options import id_field_option, text_fields_option, with_client
from vecgate.cli.progress import progress_bar
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import FORMATS
from vecgate.cli.text_rows import BATCH_TEXTS, id_of, lines_named, text_of, text_rows
from vecgate.cli.vector_files import vector_writer
from vecgate.client import Client
from vecgate.records import Role, Truncation
from vecgate.wire.choices import ROLES, TRUNCATIONS


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text to encode, instead of FILE; repeatable.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Format of FILE; default: by its suffix.")
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
@click.option("--model", metavar="NAME", shell_complete=model_names, help="The model; default: the server's.")
@click.option("--dimensions", type=click.IntRange(1), help="Cut vectors to so many components (Matryoshka models).")
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
    dimensions: int | None,
    truncation: Truncation,
) -> None:
    """Encode the texts of FILE (JSON lines, CSV, TSV, Parquet, or a text a line; - for stdin), or those given with --text.

    Rows without an id are numbered by their lines.
    """
    mapping = RowMapping(id_field, text_fields)
    rows, total = text_rows(file, texts, file_format, mapping)
    cut = done = 0
    with vector_writer(output) as writer, progress_bar("encoding", total=total) as bar:
        for batch in batched(rows, BATCH_TEXTS):
            batch_texts = [text_of(mapping, row) for row in batch]
            with lines_named(batch):
                embeddings = client.encode(batch_texts, role, model=model, dimensions=dimensions, truncation=truncation)
            writer.write([id_of(mapping, row) for row in batch], batch_texts, embeddings.vectors)
            cut += int(embeddings.truncated.sum())
            done += len(batch)
            bar.done(done)
    if cut:
        click.echo(f"{cut:,} of {done:,} texts were longer than the model reads and were cut", err=True)
    if output is not None:
        click.echo(f"wrote {done:,} vectors to {output}")
