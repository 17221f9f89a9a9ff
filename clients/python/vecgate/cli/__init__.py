"""The command line `vecgate`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    # gRPC reads it when it is imported. What it would log of a failure, this program tells in its own line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251  # gRPC takes this setting in no other way
    try:
        from vecgate.cli.app import run  # noqa: PLC0415  # takes a moment, in which Ctrl-C is no traceback either

        status = run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        status = 130
    sys.exit(status)
