"""How the commands of vecgate-server end early: one sentence on stderr, and a code."""

from __future__ import annotations

from typing import Never

import click

FAILED = 1
"""What was asked for cannot be done: the server cannot start, a store is damaged."""
WRONG_USE = 2
"""The configuration or the command line is wrong; nothing was begun."""
INTERRUPTED = 130


def end(code: int, message: str) -> Never:
    """End the process."""
    click.echo(f"vecgate-server: {message}", err=True)
    raise SystemExit(code)
