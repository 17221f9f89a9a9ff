"""vecgate search: nearest records to a text, or to a stored record."""

from __future__ import annotations

import click

from vecgate.cli.display import metadata_words, print_json, print_table, snippet
from vecgate.cli.options import collection_option, filter_option, json_option, namespace_option, with_client
from vecgate.client import Client
from vecgate.records import ById


@click.command()
@click.argument("query")
@collection_option
@namespace_option
@click.option("--top-k", "-k", type=click.IntRange(1), default=10, show_default=True, help="Matches at most.")
@filter_option
@click.option("--threshold", type=float, metavar="SCORE", help="Keep matches with at least this score.")
@click.option("--exact", is_flag=True, help="Compare with every record.")
@click.option("--by-id", is_flag=True, help="QUERY is the id of a stored record.")
@click.option("--explain", is_flag=True, help="Say how the answer came about, on stderr.")
@json_option
@with_client
def search(
    client: Client,
    query: str,
    collection: str,
    namespace: str,
    top_k: int,
    filter_text: str | None,
    threshold: float | None,
    exact: bool,
    by_id: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Find the nearest records to QUERY."""
    result = client.search(
        collection,
        ById(query) if by_id else query,
        namespace=namespace,
        top_k=top_k,
        filter=filter_text,
        score_threshold=threshold,
        exact=exact,
        explain=explain,
    )
    if result.encoded is not None and result.encoded.truncated:
        click.echo(f"the query was cut: the model reads {result.encoded.tokens} tokens", err=True)
    if result.explanation is not None:
        click.echo(f"{result.explanation.plan}; {metadata_words(result.explanation.details)}", err=True)
    if as_json:
        for match in result:
            print_json({"id": match.id, "score": match.score, "text": match.text, "metadata": match.metadata})
    elif not result.matches:
        click.echo("no matches")
    else:
        rows = [(match.score, match.id, snippet(match.text), metadata_words(match.metadata)) for match in result]
        print_table(("score", "id", "text", "metadata"), rows)
