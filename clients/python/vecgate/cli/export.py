"""vecgate export: a collection into a file, with everything that it takes to make it again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vecgate.cli.export_format import Settings
from vecgate.cli.export_writers import EXPORT_FORMATS, export_format, export_writer
from vecgate.cli.faults import InputFault
from vecgate.cli.indexing import batched
from vecgate.cli.options import collection_argument, filter_option, with_client
from vecgate.cli.progress import progress_bar
from vecgate.cli.sources import STDIN
from vecgate.client import Client
from vecgate.records import Fields
from vecgate.results import CollectionInfo
from vecgate.server_info import Limits

PORTION = 1_024
"""Records written together: a row group of Parquet."""
LARGEST_PAGE = 1_000
"""Records of one answer at most."""
TEXT_BYTES = 2_048
"""Bytes that a record is taken to have beside its vector. Where it has more, pages are asked for again, smaller."""


@click.command()
@collection_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--namespace", "-n", "namespaces", multiple=True, metavar="NAME", help="A partition; repeatable; default: all."
)
@filter_option
@click.option(
    "--format", "file_format", type=click.Choice(EXPORT_FORMATS), help="Format of FILE; default: by its suffix."
)
@with_client
def export(
    client: Client,
    collection: str,
    file: str,
    namespaces: tuple[str, ...],
    filter_text: str | None,
    file_format: str | None,
) -> None:
    """Write COLLECTION to FILE: settings, records, vectors.

    FILE ends with .jsonl, .jsonl.gz or .parquet; - for JSON lines on stdout. It appears when it is whole. vecgate import reads it.
    """
    chosen = export_format(file, file_format)
    info = client.get_collection(collection)
    partitions = _partitions(info, namespaces)
    # With a filter, or where the server lists not every namespace, nobody knows before.
    known = filter_text is None and info.namespace_count == len(info.namespaces)
    total = sum(info.namespaces.get(namespace, 0) for namespace in partitions) if known else None
    page_size = _page_size(client.server_info().limits, info.collection.dimension)
    done = 0
    with (
        export_writer(file, chosen, Settings.of(info.collection)) as writer,
        progress_bar(f"exporting {collection}", total=total) as bar,
    ):
        for namespace in partitions:
            listing = client.list(
                collection, filter=filter_text, fields=Fields(vector=True), page_size=page_size, namespace=namespace
            )
            for portion in batched(listing, PORTION):
                writer.write(namespace, portion)
                done += len(portion)
                bar.done(done)
    click.echo(f"exported {done:,} records to {'stdout' if file == STDIN else file}", err=file == STDIN)


def _partitions(info: CollectionInfo, chosen: Sequence[str]) -> list[str]:
    """Return the namespaces to export, by name.

    Raises:
        InputFault: there are more than the server lists.
    """
    if chosen:
        return sorted(set(chosen))
    if info.namespace_count > len(info.namespaces):
        raise InputFault(
            f"{info.collection.name!r} has {info.namespace_count:,} namespaces, and the server lists {len(info.namespaces):,}",
            "name those to export with --namespace",
        )
    return sorted(info.namespaces)


def _page_size(limits: Limits, dimension: int) -> int:
    """Return how many records an answer may have so that it takes about half of the largest message."""
    fitting = limits.max_message_bytes // 2 // (4 * dimension + TEXT_BYTES)
    return max(1, min(fitting, LARGEST_PAGE, limits.max_page_size))
