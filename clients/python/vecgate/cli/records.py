"""vecgate get, count and delete: records by id or by filter."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vecgate.cli.display import metadata_words, print_json, print_table, snippet
from vecgate.cli.faults import EXIT_SERVER
from vecgate.cli.options import (
    collection_option,
    confirm,
    filter_option,
    json_option,
    namespace_option,
    with_client,
    yes_option,
)
from vecgate.client import Client
from vecgate.records import Fields


@click.command()
@click.argument("ids", nargs=-1, required=True)
@collection_option
@namespace_option
@click.option("--vector", is_flag=True, help="The vectors too, with --json.")
@json_option
@with_client
def get(client: Client, ids: Sequence[str], collection: str, namespace: str, vector: bool, as_json: bool) -> int:
    """Show the records with these IDS; the exit status is 1 if one is not stored."""
    if vector and not as_json:
        raise click.UsageError("--vector needs --json")
    result = client.get(collection, ids, namespace=namespace, fields=Fields(vector=vector))
    if as_json:
        for record in result:
            shown = {"id": record.id, "text": record.text, "metadata": record.metadata}
            print_json({**shown, "vector": record.vector} if vector else shown)
    elif result.records:
        rows = [(record.id, snippet(record.text), metadata_words(record.metadata)) for record in result]
        print_table(("id", "text", "metadata"), rows)
    if not result.missing_ids:
        return 0
    click.echo(f"error: not stored: {', '.join(result.missing_ids)}", err=True)
    return EXIT_SERVER


@click.command()
@collection_option
@namespace_option
@filter_option
@with_client
def count(client: Client, collection: str, namespace: str, filter_text: str | None) -> None:
    """Print how many records there are."""
    click.echo(client.count(collection, filter=filter_text, namespace=namespace))


@click.command()
@click.argument("ids", nargs=-1)
@collection_option
@namespace_option
@filter_option
@click.option("--all", "everything", is_flag=True, help="Every record of the namespace.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@yes_option
@with_client
def delete(
    client: Client,
    ids: Sequence[str],
    collection: str,
    namespace: str,
    filter_text: str | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete the records with these IDS, those that match a filter, or all."""
    if bool(ids) + (filter_text is not None) + everything != 1:
        raise click.UsageError("give exactly one of IDS, --filter and --all")
    if not ids and not dry_run:
        doomed = client.delete(collection, filter=filter_text, all=everything, namespace=namespace, dry_run=True).count
        confirm(f"Delete {doomed:,} records of {collection!r}?", yes=yes)
    result = client.delete(
        collection, ids=ids or None, filter=filter_text, all=everything, namespace=namespace, dry_run=dry_run
    )
    click.echo(f"{'would delete' if dry_run else 'deleted'} {result.count:,} records")
