"""The command of the rows of several server processes: see benchmarks/command.py."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import Program, run
from benchmarks.datasets import data_folder
from benchmarks.processes.bench import FULL, QUICK, Bench
from benchmarks.processes.rows import ROWS


@contextmanager
def _bench(options: Namespace) -> Iterator[Bench]:
    with TemporaryDirectory(prefix="vecgate-bench-", ignore_cleanup_errors=True) as work:
        yield Bench(QUICK if options.quick else FULL, data_folder(), Path(work))


if __name__ == "__main__":
    sys.exit(
        run(
            Program(
                name="python -m benchmarks.processes",
                description="Measure one and two server processes in front of one store.",
                rows=ROWS,
                bench=_bench,
                scale=lambda bench: asdict(bench.scale),
            )
        )
    )
