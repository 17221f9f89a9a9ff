"""vecgate search: nearest records to a text, or to a stored record."""

from __future__ import annotations

import click

from vecgate.cli.completion import model_names
from vecgate.cli.display import metadata_words, print_json, print_table, snippet
from vecgate.cli.options import collection_option, filter_option, json_option, namespace_option, with_client
from vecgate.client import Client
from vecgate.records import ById, Rerank
from vecgate.search_results import Match, Reranking, SearchResult


@click.command()
@click.argument("query")
@collection_option
@namespace_option
@click.option("--top-k", "-k", type=click.IntRange(1), default=10, show_default=True, help="Matches at most.")
@filter_option
@click.option("--threshold", type=float, metavar="SCORE", help="Keep matches with at least this score.")
@click.option("--exact", is_flag=True, help="Compare with every record.")
@click.option("--ef", type=int, help="HNSW: breadth of the walk.")
@click.option("--nprobe", type=int, help="IVF: lists to visit.")
@click.option("--by-id", is_flag=True, help="QUERY is the id of a stored record.")
@click.option(
    "--rerank",
    metavar="MODEL",
    shell_complete=model_names,
    help="Score the first matches again with this cross-encoder.",
)
@click.option("--rerank-depth", type=click.IntRange(1), help="How many; default: the larger of top-k and 50.")
@click.option("--rerank-query", metavar="TEXT", help="What to score them against; default: QUERY. Needed with --by-id.")
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
    ef: int | None,
    nprobe: int | None,
    by_id: bool,
    rerank: str | None,
    rerank_depth: int | None,
    rerank_query: str | None,
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
        ef=ef,
        nprobe=nprobe,
        rerank=_rerank(rerank, rerank_depth, rerank_query),
        explain=explain,
    )
    _tell(result)
    if as_json:
        for match in result:
            print_json(_plain_match(match, result.reranking))
    elif not result.matches:
        click.echo("no matches")
    else:
        _print_matches(result)


def _rerank(model: str | None, depth: int | None, query: str | None) -> Rerank | None:
    if model is not None:
        return Rerank(model, depth, query)
    if depth is not None or query is not None:
        raise click.UsageError("--rerank-depth and --rerank-query need --rerank")
    return None


def _tell(result: SearchResult) -> None:
    """Say on stderr what the matches do not."""
    if result.encoded is not None and result.encoded.truncated:
        click.echo(f"the query was cut: the model reads {result.encoded.tokens} tokens", err=True)
    if result.reranking is not None and not result.reranking.applied:
        click.echo(f"not reranked: {result.reranking.reason}", err=True)
    if result.reranking is not None and result.reranking.truncated:
        cut, scored = result.reranking.truncated, result.reranking.scored
        click.echo(f"{cut:,} of {scored:,} reranked texts were longer than the model reads and were cut", err=True)
    if result.explanation is not None:
        click.echo(f"{result.explanation.plan}; {metadata_words(result.explanation.details)}", err=True)


def _plain_match(match: Match, reranking: Reranking | None) -> dict[str, object]:
    plain: dict[str, object] = {"id": match.id, "score": match.score, "text": match.text, "metadata": match.metadata}
    return plain if reranking is None else plain | {"rerank_score": match.rerank_score}


def _print_matches(result: SearchResult) -> None:
    columns: tuple[str, ...] = ("score", "id", "text", "metadata")
    rows: list[tuple[object, ...]] = [
        (match.score, match.id, snippet(match.text), metadata_words(match.metadata)) for match in result
    ]
    if result.reranking is not None:
        columns = ("rerank", *columns)
        applied = result.reranking.applied
        rows = [
            (match.rerank_score if applied else "not reranked", *row) for match, row in zip(result, rows, strict=True)
        ]
    print_table(columns, rows)
