"""The root command, and the one place where a failure becomes a line and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from vecgate.cli.collections import collections
from vecgate.cli.completion import completion
from vecgate.cli.connecting import with_root_connection
from vecgate.cli.encode import encode
from vecgate.cli.export import export
from vecgate.cli.faults import EXIT_INTERRUPTED, exit_status, fault_line
from vecgate.cli.import_command import import_
from vecgate.cli.index import index
from vecgate.cli.info import info
from vecgate.cli.models import models
from vecgate.cli.options import show_commands
from vecgate.cli.records import count, delete, get
from vecgate.cli.rerank import rerank
from vecgate.cli.search import search


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@with_root_connection
@click.version_option(version("vecgate"), prog_name="vecgate")
@click.pass_context
def cli(context: click.Context, /, **_connection: object) -> None:  # the commands read it from the root context
    """Search by meaning: a client of a vecgate server.

    \b
    Exit status: 0 done, 1 the server or the connection, 2 wrong input, 3 some records were refused, 130 interrupted.
    """  # noqa: D301  # \b is click's mark for lines to leave as they are
    show_commands(context)


COMMANDS = (
    collections,
    index,
    search,
    get,
    count,
    delete,
    export,
    import_,
    encode,
    rerank,
    models,
    info,
    completion,
)
for command in COMMANDS:
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; every failure is one line on stderr.

    Args:
        arguments: without the program's name; None: those of this process.
    """
    try:
        status = cli.main(arguments, prog_name="vecgate", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        click.echo("error: interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as failure:
        line = fault_line(failure)
        if line is None:
            raise
        click.echo(line, err=True)
        return exit_status(failure)
    return status if isinstance(status, int) else 0
