"""vecgate import: what vecgate export wrote, into a collection."""

from __future__ import annotations

import functools

import click

from vecgate.cli.export_format import Settings, namespace_of_row, records_from_row
from vecgate.cli.export_sources import ExportSource
from vecgate.cli.export_writers import EXPORT_FORMATS
from vecgate.cli.faults import InputFault
from vecgate.cli.indexing import Job
from vecgate.cli.options import collection_argument, with_client
from vecgate.cli.refusals import Refusals
from vecgate.cli.runs import RunOptions, run_to_end, with_run_options
from vecgate.cli.sources import source
from vecgate.client import Client
from vecgate.errors import NotFoundError
from vecgate.records import IndexConfig
from vecgate.results import Collection


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True))
@collection_argument
@click.option(
    "--format", "file_format", type=click.Choice(EXPORT_FORMATS), help="Format of FILE; default: by its suffix."
)
@click.option("--create", is_flag=True, help="Create the collection, with the settings in FILE, if there is none.")
@click.option("--backend", metavar="NAME", help="With --create: where it lives; default: the server's.")
@click.option("--index-by-size", is_flag=True, help="With --create: let the backend choose the index, not FILE.")
@with_run_options
@with_client
def import_(
    client: Client,
    file: str,
    collection: str,
    file_format: str | None,
    create: bool,
    backend: str | None,
    index_by_size: bool,
    run: RunOptions,
) -> int:
    """Store an export in COLLECTION, with its vectors.

    FILE is from vecgate export; - for JSON lines on stdin. No text is encoded again. A collection of another model or dimension is refused before anything is stored.
    """
    exported = ExportSource(source(file, file_format, EXPORT_FORMATS))
    refused_path = run.refused_path(exported)
    total = sum(1 for _ in exported.rows()) if exported.rereadable else None
    opened = exported.open()
    run.check_batch_size(client)
    found = _existing(client, collection, create=create)
    if found is not None and backend not in (None, found.backend):
        raise InputFault(
            f"--backend {backend}: collection {collection!r} is there, in backend {found.backend!r}",
            "leave out --backend, or import into another collection",
        )
    if found is None:
        found = _created(client, collection, opened.settings, backend, None if index_by_size else opened.settings.index)
    _check(found, opened.settings, exported.name)
    fingerprint = None if found.model is None else found.model.fingerprint
    checkpoint, start = run.begin(exported, [client.target, collection, str(found.created)])
    store = functools.partial(
        client.upsert_many, collection, vector_fingerprint=fingerprint, batch_size=run.batch_size, timeout=run.patience
    )
    refusals = Refusals(refused_path, kept_bytes=start.refused_bytes)
    job = Job(lambda: opened.rows, records_from_row, namespace_of_row, store, checkpoint, refusals)
    return run_to_end(job, start, total, f"importing into {collection}")


def _existing(client: Client, name: str, *, create: bool) -> Collection | None:
    try:
        return client.get_collection(name).collection
    except NotFoundError as error:
        if not create or error.reason != "COLLECTION_NOT_FOUND":
            error.add_note("--create makes it with the settings of the export")
            raise
        return None


def _created(
    client: Client, name: str, settings: Settings, backend: str | None, index: IndexConfig | None
) -> Collection:
    """Make the collection that the settings describe, with the server's model of their fingerprint."""
    return client.create_collection(
        name,
        model=None if settings.model is None else _model(client, settings),
        dimension=settings.dimension,
        metric=settings.metric,
        backend=backend,
        index=index,
    )


def _model(client: Client, settings: Settings) -> str:
    """Return the server's name for the model that made the vectors.

    Raises:
        InputFault: it has none of that fingerprint.
    """
    model = settings.model
    assert model is not None  # noqa: S101  # the caller asks for a bound collection only
    models = client.list_models()
    for known in models:
        if known.fingerprint == model.fingerprint:
            return known.name
    if any(known.name == model.name for known in models):
        # Not loaded yet, or its vectors are cut, which has a fingerprint of its own.
        made_by = client.encode([""], "document", model=model.name, dimensions=settings.dimension).model
        if made_by.fingerprint == model.fingerprint:
            return model.name
    raise InputFault(
        f"the vectors were made by {model.name!r} with fingerprint {model.fingerprint}, and the server has no such model",
        "vecgate models names those there are",
    )


def _check(collection: Collection, settings: Settings, name: str) -> None:
    """Refuse a collection whose vectors are not to be compared with those of the export.

    Raises:
        InputFault: another dimension or model.
    """
    if collection.dimension != settings.dimension:
        raise InputFault(
            f"{name}: vectors of dimension {settings.dimension}, and {collection.name!r} takes {collection.dimension}"
        )
    bound, made_by = collection.model, settings.model
    if bound is not None and (made_by is None or made_by.fingerprint != bound.fingerprint):
        made = (
            "no model that is known" if made_by is None else f"{made_by.name!r} with fingerprint {made_by.fingerprint}"
        )
        raise InputFault(
            f"{name}: vectors made by {made}, and {collection.name!r} is bound to {bound.name!r} with fingerprint "
            f"{bound.fingerprint}",
            "import into a collection of that model, or of none",
        )
    if bound is None and made_by is not None:
        click.echo(f"note: {collection.name!r} has no model; its records are found by vectors alone", err=True)
    if collection.metric != settings.metric:
        click.echo(
            f"note: exported under {settings.metric}, {collection.name!r} measures by {collection.metric}", err=True
        )
