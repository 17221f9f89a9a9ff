"""What every row is given: sizes, the stand-in for a Qdrant, servers in front of it, and what their processes cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets import REPOSITORY
from benchmarks.server import ServerProcess, serving, tree

COLLECTION = "texts"
WORKERS = (1, 2)
"""Server processes of the two sides of every comparison."""
CALLERS = 16
CONNECTIONS = 16
"""As many, since the kernel spreads connections over processes and not calls."""
MODEL_WORKER = b"vecgate_server.encoders.worker_process"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: how often each side of a comparison has its turn. seconds: length of a turn.
        records: of the collection; few, since the stand-in compares a query with all of them in Python.
    """

    rounds: int = 3
    seconds: float = 8.0
    records: int = 100


FULL = Scale()
QUICK = Scale(rounds=2, seconds=1.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """The setting of a run; `work` is a folder for what is made, gone after the run."""

    scale: Scale
    data: Path
    work: Path


@contextmanager
def qdrant_stand_in() -> Iterator[int]:
    """Run the tests' stand-in for a Qdrant server in a process of its own; yields its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "emulators.qdrant_process"],
        cwd=REPOSITORY / "tests",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def server_in_front_of(port: int, bench: Bench, workers: int, models: Mapping[str, Any]) -> Iterator[ServerProcess]:
    """Serve the store behind a port with so many server processes; vectors of texts are not kept."""
    backends = {"qdrant": {"kind": "qdrant", "options": {"host": "127.0.0.1", "grpc_port": port}}}
    with serving(
        bench.work,
        server={"workers": workers},
        encoder={"cache_mib": 0},
        models=models,
        backends=backends,
        name=f"workers-{workers}",
    ) as server:
        yield server


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds of processor time since the start: of the server's own processes, and of those that run models."""

    server: float
    models: float


def processor_time(server: ServerProcess) -> ProcessorTime:
    """Read what the processes of a server have used, in ticks of 10 ms; proc(5), /proc/pid/stat."""
    tick = 1 / os.sysconf("SC_CLK_TCK")
    own = models = 0.0
    for process in tree(server.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) * tick
            if MODEL_WORKER in Path(f"/proc/{process}/cmdline").read_bytes():
                models += seconds
            else:
                own += seconds
    return ProcessorTime(own, models)
