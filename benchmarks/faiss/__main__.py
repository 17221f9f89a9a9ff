"""The command of the Faiss backend's rows: see benchmarks/command.py."""

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
from benchmarks.faiss.bench import FULL, QUICK, Bench
from benchmarks.faiss.rows import ROWS
from benchmarks.faiss.vectors import real_vectors
from benchmarks.machine import usable_cores


@contextmanager
def _bench(options: Namespace) -> Iterator[Bench]:
    scale = QUICK if options.quick else FULL
    vectors = real_vectors(data_folder())
    with TemporaryDirectory(prefix="vecgate-bench-", ignore_cleanup_errors=True) as work:
        yield Bench(scale, vectors, vectors.first(scale.records), data_folder(), Path(work), usable_cores())


if __name__ == "__main__":
    sys.exit(
        run(
            Program(
                name="python -m benchmarks.faiss",
                description="Measure the Faiss backend through a real server.",
                rows=ROWS,
                bench=_bench,
                scale=lambda bench: asdict(bench.scale),
            )
        )
    )
