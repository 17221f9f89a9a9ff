"""The command line `vecgate`."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    try:
        from vecgate.cli.app import run  # noqa: PLC0415  # takes a moment, in which Ctrl-C is no traceback either

        status = run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        status = 130
    sys.exit(status)
