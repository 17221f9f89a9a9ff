"""vecgate rerank: texts by their scores against a query."""

from __future__ import annotations

import click
import numpy as np

from vecgate.cli.completion import model_names
from vecgate.cli.display import print_json, print_table, snippet
from vecgate.cli.indexing import batched
from vecgate.cli.options import id_field_option, json_option, text_fields_option, with_client
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import FORMATS
from vecgate.cli.text_rows import BATCH_TEXTS, id_of, lines_named, text_of, text_rows
from vecgate.client import Client
from vecgate.records import Truncation
from vecgate.results import PairScores
from vecgate.wire.choices import TRUNCATIONS


@click.command()
@click.argument("query")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@click.option("--model", required=True, metavar="NAME", shell_complete=model_names, help="The cross-encoder.")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text to score, instead of FILE; repeatable.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Format of FILE; default: by its suffix.")
@id_field_option
@text_fields_option
@click.option("--top-k", "-k", type=click.IntRange(1), help="Texts to show at most; default: all.")
@click.option(
    "--truncation",
    type=click.Choice(list(TRUNCATIONS)),
    default="truncate",
    show_default=True,
    help="What to do about texts that are, with QUERY, longer than the model reads.",
)
@json_option
@with_client
def rerank(
    client: Client,
    query: str,
    file: str | None,
    model: str,
    texts: tuple[str, ...],
    file_format: str | None,
    id_field: str,
    text_fields: tuple[str, ...],
    top_k: int | None,
    truncation: Truncation,
    as_json: bool,
) -> None:
    """Order the texts of FILE (JSON lines, CSV, TSV, Parquet, or a text a line; - for stdin), or those given with --text, by QUERY.

    Rows without an id are numbered by their lines.
    """
    mapping = RowMapping(id_field, text_fields)
    ids: list[str] = []
    scored_texts: list[str] = []
    parts: list[PairScores] = []
    rows, _ = text_rows(file, texts, file_format, mapping)
    for batch in batched(rows, BATCH_TEXTS):
        batch_texts = [text_of(mapping, row) for row in batch]
        with lines_named(batch):
            parts.append(client.rerank(model, query, batch_texts, truncation=truncation))
        ids += [id_of(mapping, row) for row in batch]
        scored_texts += batch_texts
    if cut := sum(int(part.truncated.sum()) for part in parts):
        click.echo(
            f"{cut:,} of {len(ids):,} texts were longer, with the query, than the model reads and were cut", err=True
        )
    scores = np.concatenate([part.scores for part in parts]) if parts else np.zeros(0)
    best_first = np.argsort(-scores, kind="stable").tolist()[:top_k]
    if as_json:
        for row in best_first:
            print_json({"id": ids[row], "score": float(scores[row]), "text": scored_texts[row]})
    else:
        rows_to_show = [(float(scores[row]), ids[row], snippet(scored_texts[row])) for row in best_first]
        print_table(("score", "id", "text"), rows_to_show)
