"""The process that makes a served form: `python -m vecgate_server.encoders.export_process MODEL DIRECTORY PRECISION`.

It is started with a pipe as standard input. Exit codes: 0 when the form is complete; 1 when the model has none, with the
reason in the last line of standard error; 3 when the pipe was closed, which is when the process that asked for the form is
gone; 4 when the machine could not make it now (disk, memory, a missing package), again with the reason.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from vecgate_server.encoders.settings import Precision
from vecgate_server.errors import ModelUnavailableError

REFUSED = 1
ABANDONED = 3
PREVENTED = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Run export() on what the command line names."""
    parser = argparse.ArgumentParser(description="Make the served form of a sentence-transformers model.")
    parser.add_argument("model", type=Path, help="the model's directory")
    parser.add_argument("directory", type=Path, help="an existing, empty directory")
    parser.add_argument("precision", type=Precision, choices=list(Precision), help="in what the graph computes")
    named = parser.parse_args(arguments)
    try:
        # It takes seconds, in which the parent may go away.
        from vecgate_server.encoders.export import export  # noqa: PLC0415

        export(named.model, named.directory, named.precision)
    except ModelUnavailableError as error:
        parser.exit(REFUSED, f"{error}\n")
    except (OSError, MemoryError, ImportError) as error:
        parser.exit(PREVENTED, f"{type(error).__name__}: {error}\n")
    except Exception as error:  # noqa: BLE001  # the exporter's own, on models that it does not know
        traceback.print_exc()
        parser.exit(REFUSED, f"{type(error).__name__}: {' '.join(str(error).split())}\n")


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock a thread must not hold when the interpreter ends.
    os.read(sys.stdin.fileno(), 1)
    os._exit(ABANDONED)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    main()
