"""vecgate completion: what a shell offers after Tab, names that the server knows included."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import get_completion_class

from vecgate.cli.connecting import connect
from vecgate.cli.faults import InputFault
from vecgate.client import Client
from vecgate.errors import VecgateError

SHELLS = ("bash", "zsh", "fish")
PATIENCE_S = 1.0
"""Seconds that a person who pressed Tab is kept waiting for a server."""
VARIABLE = "_VECGATE_COMPLETE"
"""Tells the program that a shell asks; click's name for it."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete words.

    These are commands, options, and names of collections and models.

    \b
    bash: eval "$(vecgate completion bash)"        in ~/.bashrc
    zsh:  eval "$(vecgate completion zsh)"         in ~/.zshrc
    fish: vecgate completion fish > ~/.config/fish/completions/vecgate.fish
    """  # noqa: D301  # \b is click's mark for lines to leave as they are
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  # click knows each of SHELLS
    root = context.find_root()
    click.echo(found(root.command, {}, "vecgate", VARIABLE).source())


def collection_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:  # noqa: ARG001  # as click calls it
    """Return the collections whose names begin so; none where no server answers at once."""
    return _names(context, begun, _collections)


def model_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:  # noqa: ARG001  # as click calls it
    """Return the models whose names begin so; none where no server answers at once."""
    return _names(context, begun, _models)


def _names(context: click.Context, begun: str, ask: Callable[[Client], Iterable[str]]) -> list[str]:
    try:
        with connect(context) as client:
            return [name for name in ask(client) if name.startswith(begun)]
    except (VecgateError, InputFault):
        # A message would land in the middle of the line that is being typed.
        return []


def _collections(client: Client) -> list[str]:
    return [collection.name for collection in client.list_collections(timeout=PATIENCE_S).collections]


def _models(client: Client) -> list[str]:
    return [model.name for model in client.list_models(timeout=PATIENCE_S)]
