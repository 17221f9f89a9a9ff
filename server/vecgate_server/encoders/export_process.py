"""The process that makes a served form: `python -m vecgate_server.encoders.export_process MODEL DIRECTORY`.

It is started with a pipe as standard input. Exit codes: 0 when the form is complete, 1 with the reason in the last line of
standard error, 3 when the pipe was closed, which is when the process that asked for the form is gone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from vecgate_server.errors import ModelUnavailableError

REFUSED = 1
ABANDONED = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Run export() on the command line's two directories."""
    parser = argparse.ArgumentParser(description="Make the served form of a sentence-transformers model.")
    parser.add_argument("model", type=Path, help="the model's directory")
    parser.add_argument("directory", type=Path, help="an existing, empty directory")
    named = parser.parse_args(arguments)
    # It takes seconds, in which the parent may go away.
    from vecgate_server.encoders.export import export  # noqa: PLC0415

    try:
        export(named.model, named.directory)
    except ModelUnavailableError as error:
        parser.exit(REFUSED, f"{error}\n")


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
    os.read(sys.stdin.fileno(), 1)
    os._exit(ABANDONED)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    main()
