"""vecgate info: what a server is."""

from __future__ import annotations

import dataclasses

import click

from vecgate.cli.display import print_json, print_table
from vecgate.cli.models import print_models
from vecgate.cli.options import json_option, with_client
from vecgate.client import Client


@click.command()
@json_option
@with_client
def info(client: Client, as_json: bool) -> None:
    """Show a server's state, version, models, backends and limits."""
    server, models, status = client.server_info(), client.list_models(), client.health()
    if as_json:
        print_json({"target": client.target, "status": status, "server": server, "models": models})
        return
    click.echo(f"{client.target}: vecgate {server.version}, {status.replace('_', ' ')}")
    print_models(models)
    print_table(
        ("backend", "kind", "state", "indexes", "metrics"),
        [
            (
                f"{backend.name}{'*' if backend.name == server.default_backend else ''}",
                backend.kind,
                "answers" if backend.healthy else f"does not answer: {backend.detail}",
                ", ".join(backend.capabilities.index_kinds),
                ", ".join(backend.capabilities.metrics),
            )
            for backend in server.backends
        ],
    )
    click.echo("* the default")
    print_table(("limit", "value"), dataclasses.asdict(server.limits).items())
