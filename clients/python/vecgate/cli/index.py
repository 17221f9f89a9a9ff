"""vecgate index: a file or a folder into a collection."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import click

from vecgate.cli.chunking import ChunkOptions, chunker_for
from vecgate.cli.completion import model_names
from vecgate.cli.export_format import HEADER
from vecgate.cli.export_sources import export_fault
from vecgate.cli.faults import InputFault
from vecgate.cli.indexing import Job, checked, count_rows
from vecgate.cli.options import collection_option, namespace_option, with_client, with_row_mapping
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_readers import Row
from vecgate.cli.row_records import RowMapping
from vecgate.cli.runs import RunOptions, run_to_end, with_run_options
from vecgate.cli.source_options import with_chunk_options, with_source
from vecgate.cli.sources import CELL_FORMATS, Source
from vecgate.client import Client
from vecgate.errors import NotFoundError
from vecgate.records import Record, Truncation
from vecgate.results import Collection


@click.command()
@with_source
@collection_option
@namespace_option
@with_row_mapping
@with_chunk_options
@click.option("--create", is_flag=True, help="Create the collection if there is none.")
@click.option(
    "--model", metavar="NAME", shell_complete=model_names, help="With --create: the model; default: the server's."
)
@click.option("--truncate", is_flag=True, help="Cut texts longer than the model reads instead of refusing them.")
@with_run_options
@with_client
def index(
    client: Client,
    records: Source,
    mapping: RowMapping,
    chunks: ChunkOptions | None,
    run: RunOptions,
    collection: str,
    namespace: str,
    create: bool,
    model: str | None,
    truncate: bool,
) -> int:
    """Store the records of a file or folder in a collection.

    FILE is JSON lines, CSV, TSV, Parquet or plain text, also .gz, or a folder of plain texts; - for stdin. Everything is read through before anything is stored. An interrupted run continues when the same command is given again.
    Records that are refused are written to a file with their reasons; the exit status is then 3.
    """
    refused_path = run.refused_path(records)
    check = functools.partial(_check_first, mapping)
    total = count_rows(records, check)
    run.check_batch_size(client)
    make = _record_maker(client, records, mapping, chunks, _model(client, collection, model=model, create=create))
    settings = _collection(client, collection, model=model, create=create)
    truncation: Truncation = "truncate" if truncate else "error"
    checkpoint, start = run.begin(
        records, [client.target, collection, str(settings.created), namespace, truncation, _plan(mapping, chunks)]
    )
    store = functools.partial(
        client.upsert_many, collection, truncation=truncation, batch_size=run.batch_size, timeout=run.patience
    )
    rows = functools.partial(checked, records, check)
    refusals = Refusals(refused_path, kept_bytes=start.refused_bytes)
    job = Job(rows, make, lambda _: namespace, store, checkpoint, refusals)
    return run_to_end(job, start, total, f"indexing into {collection}")


def _check_first(mapping: RowMapping, row: Row, source: Source) -> None:
    if HEADER in row.values:
        raise export_fault(source.name)
    mapping.check_first(row, source)


def _plan(mapping: RowMapping, chunks: ChunkOptions | None) -> list[object]:
    """Return how rows become records, in terms of JSON."""
    cut = None if chunks is None else [chunks.size, chunks.overlap, str(chunks.tokenizer)]
    return [dataclasses.asdict(mapping), cut]


def _record_maker(
    client: Client, source: Source, mapping: RowMapping, chunks: ChunkOptions | None, model: str | None
) -> Callable[[Row], list[Record]]:
    empty_is_nothing = source.file_format in CELL_FORMATS
    chunker = None if chunks is None else chunker_for(chunks, client, model)

    def make(row: Row) -> list[Record]:
        record = mapping.record(row, empty_is_nothing=empty_is_nothing)
        return [record] if chunker is None else chunker.pieces(record)

    return make


def _model(client: Client, name: str, *, model: str | None, create: bool) -> str | None:
    """Return which model encodes the texts of a collection, before it is made; None if it has none.

    Raises:
        InputFault: the collection is there, and bound to another model than was asked for.
        NotFoundError: it is not there, and not to be made.
    """
    try:
        bound = client.get_collection(name).collection.model
    except NotFoundError as error:
        _check_creation(error, create=create)
        return model or client.server_info().default_model
    found = None if bound is None else bound.name
    if model is not None and model != found:
        raise InputFault(
            f"--model {model}: collection {name!r} is there, "
            + (f"bound to {found!r}" if found else "and has no model"),
            "leave out --model, or index into another collection",
        )
    return found


def _collection(client: Client, name: str, *, model: str | None, create: bool) -> Collection:
    try:
        return client.get_collection(name).collection
    except NotFoundError as error:
        _check_creation(error, create=create)
        return client.create_collection(name, model=model, exist_ok=True)


def _check_creation(error: NotFoundError, *, create: bool) -> None:
    """Raise the error that a collection is not there, unless that collection is to be made."""
    if not create or error.reason != "COLLECTION_NOT_FOUND":
        error.add_note("--create makes it")
        raise error
