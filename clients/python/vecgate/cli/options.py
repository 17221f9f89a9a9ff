"""Options that several commands share, and the client they are run with."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from vecgate.cli.completion import collection_names
from vecgate.cli.connecting import CONNECTION_OPTIONS, connect, with_connection
from vecgate.cli.faults import EXIT_INPUT, InputFault
from vecgate.cli.row_records import CONVERSIONS, RowMapping, parse_metadata_fields

Command = TypeVar("Command", bound=Callable[..., Any])

collection_option = click.option(
    "--collection", "-c", required=True, metavar="NAME", shell_complete=collection_names, help="The collection."
)
collection_argument = click.argument("collection", shell_complete=collection_names)
namespace_option = click.option("--namespace", "-n", default="", metavar="NAME", help="The partition; default: ''.")
filter_option = click.option(
    "--filter", "-f", "filter_text", metavar="EXPR", help="Only records that match, such as 'year >= 2000'."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def with_client(command: Command) -> Command:
    """Give a command a connected client as its first argument, and the options of the connection."""

    @functools.wraps(command)
    def connected(*arguments: Any, **options: Any) -> Any:
        with connect(click.get_current_context()) as client:
            own = {name: value for name, value in options.items() if name not in CONNECTION_OPTIONS}
            return command(client, *arguments, **own)

    return with_connection(connected)  # type: ignore[return-value]  # click calls it with the options of both


id_field_option = click.option("--id-field", default="id", show_default=True, metavar="NAME", help="Field with the id.")
text_fields_option = click.option(
    "--text-field",
    "text_fields",
    multiple=True,
    default=("text",),
    show_default=True,
    metavar="NAME",
    help="Field with the text; give several to join them by a space.",
)


def with_row_mapping(command: Command) -> Command:
    """Give a command `mapping`: where in a row the parts of a record are, with the options that say it."""

    @id_field_option
    @text_fields_option
    @click.option(
        "--vector-field", default="vector", show_default=True, metavar="NAME", help="Field with a vector, if any."
    )
    @click.option(
        "--metadata-field",
        "metadata_fields",
        multiple=True,
        metavar="NAME[:TYPE]",
        help=f"Field to keep as metadata, and its type ({', '.join(CONVERSIONS)}); default: all other fields.",
    )
    @functools.wraps(command)
    def mapped(
        *arguments: Any,
        id_field: str,
        text_fields: tuple[str, ...],
        vector_field: str,
        metadata_fields: tuple[str, ...],
        **options: Any,
    ) -> Any:
        mapping = RowMapping(id_field, text_fields, vector_field, parse_metadata_fields(metadata_fields))
        return command(*arguments, mapping=mapping, **options)

    return mapped  # type: ignore[return-value]  # click calls it with the options of both


def show_commands(context: click.Context) -> None:
    """Where a group of commands was given none: print its help and exit with EXIT_INPUT."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(EXIT_INPUT)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed.

    Raises:
        click.UsageError: nobody is there to be asked.
        InputFault: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked for confirmation here; pass --yes")
    if not click.confirm(question):
        raise InputFault("not confirmed; nothing was deleted")
