"""The stand-in for a Qdrant server in a process of its own: `python -m emulators.qdrant_process` prints its port and ends with its input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulators.qdrant_server import QdrantEmulator


@contextmanager
def qdrant_process() -> Iterator[int]:
    """Run it, beside whatever else the caller's process has to do; yields its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "emulators.qdrant_process"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _serve() -> None:
    emulator = QdrantEmulator(remember_calls=False)
    sys.stdout.write(f"{emulator.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    emulator.stop()


if __name__ == "__main__":
    _serve()
