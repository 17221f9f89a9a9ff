"""vecgate collections: list, show, create, update, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from vecgate.cli.completion import collection_names, model_names
from vecgate.cli.display import print_json, print_table
from vecgate.cli.options import confirm, json_option, show_commands, with_client, yes_option
from vecgate.client import Client
from vecgate.records import FlatIndex, HnswIndex, IndexConfig, IvfIndex, Metric, Quantization
from vecgate.results import Collection
from vecgate.timestamps import Timestamp
from vecgate.wire.choices import METRICS, QUANTIZATIONS

COLUMNS = ("name", "backend", "metric", "dimension", "model", "index", "created")


INDEX_PARAMETERS = (
    click.option("--m", type=int, help="HNSW: links a node."),
    click.option("--ef-construction", type=int, help="HNSW: breadth while building."),
    click.option("--ef", type=int, help="HNSW: breadth while searching."),
    click.option(
        "--quantization", type=click.Choice(list(QUANTIZATIONS)), default="none", help="HNSW: how its vectors are kept."
    ),
    click.option("--lists", type=int, help="IVF: how many; default: by the number of vectors."),
    click.option(
        "--nprobe", type=int, help="IVF: lists that a search visits at least; default: as many as recall needs."
    ),
)

Command = TypeVar("Command", bound=Callable[..., object])


def index_parameters(command: Command) -> Command:
    """Give a command the options of an index."""
    for option in reversed(INDEX_PARAMETERS):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.pass_context
def collections(context: click.Context) -> None:
    """List, show, create, update and delete collections."""
    show_commands(context)


@collections.command("list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List the collections."""
    listing = client.list_collections()
    found = listing.collections
    for name in listing.unavailable_backends:
        click.echo(f"backend {name} does not answer; its collections are not listed", err=True)
    if as_json:
        for collection in found:
            print_json(collection)
    elif found:
        print_table(COLUMNS, [_row(collection) for collection in found])
    else:
        click.echo("no collections")


@collections.command()
@click.argument("name", shell_complete=collection_names)
@json_option
@with_client
def show(client: Client, name: str, as_json: bool) -> None:
    """Show a collection and how many records its namespaces hold."""
    info = client.get_collection(name)
    if as_json:
        print_json(info)
        return
    print_table(COLUMNS, [_row(info.collection)])
    print_table(("namespace", "records"), [(repr(space), size) for space, size in info.namespaces.items()])
    click.echo(f"{info.record_count:,} records in {info.namespace_count:,} namespaces")


@collections.command()
@click.argument("name")
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=model_names,
    help="The model that encodes its texts; default: the server's.",
)
@click.option(
    "--dimension",
    type=click.IntRange(1),
    help="Length of its vectors. Alone: it takes raw vectors only; with --model: its vectors are cut to that.",
)
@click.option("--metric", type=click.Choice(list(METRICS)), default="cosine", show_default=True, help="Nearness.")
@click.option("--backend", metavar="NAME", help="Where it lives; default: the server's.")
@click.option(
    "--index", type=click.Choice(["flat", "hnsw", "ivf"]), help="Kind of index; default: the backend chooses by size."
)
@index_parameters
@click.option("--exist-ok", is_flag=True, help="Take an existing collection of the same settings.")
@with_client
def create(
    client: Client,
    name: str,
    model: str | None,
    dimension: int | None,
    metric: Metric,
    backend: str | None,
    index: str | None,
    m: int | None,
    ef_construction: int | None,
    ef: int | None,
    quantization: Quantization,
    lists: int | None,
    nprobe: int | None,
    exist_ok: bool,
) -> None:
    """Create a collection."""
    collection = client.create_collection(
        name,
        model=model,
        dimension=dimension,
        metric=metric,
        backend=backend,
        index=_index(index, HnswIndex(m, ef_construction, ef, quantization), IvfIndex(lists, nprobe)),
        exist_ok=exist_ok,
    )
    print_table(COLUMNS, [_row(collection)])


@collections.command("update")
@click.argument("name", shell_complete=collection_names)
@click.option(
    "--index",
    type=click.Choice(["auto", "flat", "hnsw", "ivf"]),
    required=True,
    help="Kind of index; auto: the backend chooses by size.",
)
@index_parameters
@with_client
def update(
    client: Client,
    name: str,
    index: str,
    m: int | None,
    ef_construction: int | None,
    ef: int | None,
    quantization: Quantization,
    lists: int | None,
    nprobe: int | None,
) -> None:
    """Change the index of a collection, whole: what is left out takes its default. It is built anew in the background."""
    collection = client.update_collection(
        name, index=_index(index, HnswIndex(m, ef_construction, ef, quantization), IvfIndex(lists, nprobe))
    )
    print_table(COLUMNS, [_row(collection)])


@collections.command("delete")
@click.argument("name", shell_complete=collection_names)
@yes_option
@with_client
def delete(client: Client, name: str, yes: bool) -> None:
    """Delete a collection and all its records."""
    size = client.get_collection(name).record_count
    confirm(f"Delete the collection {name!r} and its {size:,} records?", yes=yes)
    client.delete_collection(name)
    click.echo(f"deleted {name!r} and its {size:,} records")


def _index(kind: str | None, hnsw: HnswIndex, ivf: IvfIndex) -> IndexConfig | None:
    if kind != "hnsw" and hnsw != HnswIndex():
        raise click.UsageError("--m, --ef-construction, --ef and --quantization need --index hnsw")
    if kind != "ivf" and ivf != IvfIndex():
        raise click.UsageError("--lists and --nprobe need --index ivf")
    match kind:
        case "flat":
            return FlatIndex()
        case "hnsw":
            return hnsw
        case "ivf":
            return ivf
    return None


def _index_word(index: IndexConfig | None) -> str:
    match index:
        case None:
            return "by size"
        case FlatIndex():
            return "flat"
        case HnswIndex(m, ef_construction, ef, quantization):
            kept = None if quantization == "none" else quantization
            return _with_settings("hnsw", {"": kept, "m": m, "ef_construction": ef_construction, "ef": ef})
        case IvfIndex(lists, nprobe):
            return _with_settings("ivf", {"lists": lists, "nprobe": nprobe})


def _with_settings(kind: str, settings: Mapping[str, object]) -> str:
    """Name a kind of index and what was chosen of it."""
    chosen = (f"{name} {value}".strip() for name, value in settings.items() if value is not None)
    return ", ".join([kind, *chosen])


def _row(collection: Collection) -> tuple[object, ...]:
    return (
        collection.name,
        collection.backend,
        collection.metric,
        collection.dimension,
        collection.model.name if collection.model else "none: raw vectors",
        _index_word(collection.index),
        str(Timestamp(collection.created.seconds)),
    )
