"""vecgate models: what a server encodes and reranks with."""

from __future__ import annotations

from collections.abc import Iterable

import click

from vecgate.cli.display import print_json, print_table
from vecgate.cli.options import json_option, with_client
from vecgate.client import Client
from vecgate.server_info import ModelInfo, ModelKind

COLUMNS = ("model", "state", "kind", "dimension", "shorter", "tokens", "precision", "runtime", "MiB", "detail")


@click.command()
@json_option
@with_client
def models(client: Client, as_json: bool) -> None:
    """List the models: what each is for, and, once it is loaded, what it is."""
    found = client.list_models()
    if as_json:
        for model in found:
            print_json(model)
        return
    print_models(found)
    click.echo("* the default")


def print_models(found: Iterable[ModelInfo]) -> None:
    """Print a table of models; what is not known before a model is loaded stays empty."""
    print_table(COLUMNS, [_row(model) for model in found])


def _row(model: ModelInfo) -> tuple[object, ...]:
    return (
        f"{model.name}{'*' if model.is_default else ''}",
        model.state,
        None if model.kind is ModelKind.UNKNOWN else model.kind,
        model.dimension or None,
        ", ".join(str(each) for each in model.matryoshka_dimensions),
        model.max_tokens or None,
        model.precision,
        model.runtime,
        round(model.memory_bytes / 2**20) or None,
        model.detail,
    )
