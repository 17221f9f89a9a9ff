"""vecgate index: a file into a collection."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from pathlib import Path

import click

from vecgate.batching import BATCH_ITEMS
from vecgate.cli.checkpoint import Checkpoint, Position, checkpoint_for
from vecgate.cli.faults import EXIT_REFUSED, InputFault, Interrupted
from vecgate.cli.indexing import Job, count_rows
from vecgate.cli.options import collection_option, namespace_option, with_client, with_row_mapping
from vecgate.cli.progress import progress_bar
from vecgate.cli.refusals import Refusals
from vecgate.cli.row_records import RowMapping
from vecgate.cli.sources import source
from vecgate.client import Client
from vecgate.errors import NotFoundError, VecgateError
from vecgate.records import Truncation
from vecgate.results import Collection

FORMATS = ("jsonl", "csv", "tsv")
DEFAULT_BATCH = 64
"""Records between two acknowledgements: a bar that moves, and little to do again after a stop."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@collection_option
@namespace_option
@with_row_mapping
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Format of FILE; default: by its suffix.")
@click.option("--create", is_flag=True, help="Create the collection if there is none.")
@click.option("--model", metavar="NAME", help="With --create: the model; default: the server's.")
@click.option("--truncate", is_flag=True, help="Cut texts longer than the model reads instead of refusing them.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, BATCH_ITEMS),
    default=DEFAULT_BATCH,
    show_default=True,
    help="Records between two acknowledgements.",
)
@click.option(
    "--refused",
    "refused_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Where to write refused records; default: FILE's name with .refused.jsonl, in this directory.",
)
@click.option("--restart", is_flag=True, help="Begin at the first record, also after an interrupted run.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="VECGATE_STATE_DIR",
    show_envvar=True,
    default=lambda: Path(click.get_app_dir("vecgate")) / "index",
    help="Where interrupted runs are remembered; default: in this user's application directory.",
)
@with_client
def index(
    client: Client,
    mapping: RowMapping,
    file: str,
    collection: str,
    namespace: str,
    file_format: str | None,
    create: bool,
    model: str | None,
    truncate: bool,
    batch_size: int,
    refused_path: Path | None,
    restart: bool,
    state_dir: Path,
) -> int:
    """Store the records of FILE (JSON lines, CSV or TSV, also .gz; - for stdin) in a collection.

    A file is read through before anything is stored. An interrupted run continues when the same command is given again.
    Records that are refused are written to a file with their reasons; the exit status is then 3.
    """
    rows = source(file, file_format, FORMATS)
    refused_path = _writable(refused_path or Path(f"{Path(rows.name).name}.refused.jsonl"))
    total = count_rows(rows, mapping.check_first)
    settings = _collection(client, collection, model=model, create=create)
    truncation: Truncation = "truncate" if truncate else "error"
    upsert = functools.partial(client.upsert, collection, namespace=namespace, truncation=truncation)
    circumstances = [
        client.target,
        collection,
        str(settings.created),
        namespace,
        truncation,
        dataclasses.asdict(mapping),
    ]
    checkpoint = None if total is None else checkpoint_for(Path(file), state_dir, circumstances)
    start = Position() if checkpoint is None or restart else checkpoint.load()
    refusals = Refusals(refused_path, kept_bytes=start.refused_bytes)
    job = Job(rows, mapping, batch_size, upsert, checkpoint, refusals)
    return _report(job, _run(job, start, total, collection), start)


def _writable(refused: Path) -> Path:
    """Return the path for refused records, which shall not be what stops a run in its middle."""
    if not os.access(refused if refused.exists() else refused.parent, os.W_OK):
        raise InputFault(f"{refused}: refused records could not be written there", "name another place with --refused")
    return refused


def _collection(client: Client, name: str, *, model: str | None, create: bool) -> Collection:
    try:
        return client.get_collection(name).collection
    except NotFoundError as error:
        if not create or error.reason != "COLLECTION_NOT_FOUND":
            error.add_note("--create makes it")
            raise
        return client.create_collection(name, model=model, exist_ok=True)


def _run(job: Job, start: Position, total: int | None, collection: str) -> tuple[Position, float]:
    """Index to the end; return where that is, and the seconds it took."""
    if start.rows:
        click.echo(f"continuing after {start.rows:,} records", err=True)
    position = start
    began = time.monotonic()
    try:
        with progress_bar(f"indexing into {collection}", total=total, done=start.rows) as bar:
            for position in job.run(start):
                bar.done(position.rows)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_standing(position, job.checkpoint)}") from None
    except (VecgateError, OSError) as error:
        error.add_note(_standing(position, job.checkpoint))
        raise
    finally:
        job.refusals.close()
    if job.checkpoint is not None:
        job.checkpoint.clear()
    return position, time.monotonic() - began


def _standing(position: Position, checkpoint: Checkpoint | None) -> str:
    """Say what is stored (the server may have stored one batch more than it could acknowledge), and how to go on."""
    stored = f"at least {position.stored:,} records are stored"
    return stored if checkpoint is None else f"{stored}, the same command continues from there"


def _report(job: Job, outcome: tuple[Position, float], start: Position) -> int:
    """Print the summary and return the exit status."""
    position, seconds = outcome
    rate = (position.rows - start.rows) / max(seconds, 1e-9)
    reused = f", {position.reused:,} with text encoded before" if position.reused else ""
    click.echo(
        f"stored {position.stored:,} records{reused}, refused {position.refused:,} ({seconds:.1f} s, {rate:,.0f} records/s)"
    )
    if not position.refused:
        return 0
    for example in job.refusals.examples:
        click.echo(f"refused: {example}", err=True)
    click.echo(f"refused: all {position.refused:,} with their reasons are in {job.refusals.path}", err=True)
    return EXIT_REFUSED
