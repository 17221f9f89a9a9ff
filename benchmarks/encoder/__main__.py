"""The command of the encoder's rows: see benchmarks/command.py."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import Program, run
from benchmarks.datasets import data_folder, package_texts
from benchmarks.encoder.bench import FULL, QUICK, Bench
from benchmarks.encoder.rows import ROWS
from benchmarks.machine import usable_cores


@contextmanager
def _bench(options: Namespace) -> Iterator[Bench]:
    scale = QUICK if options.quick else FULL
    texts = package_texts(data_folder(), documents=scale.documents, queries=scale.queries)
    with TemporaryDirectory(prefix="vecgate-bench-", ignore_cleanup_errors=True) as work:
        yield Bench(scale, texts, data_folder(), Path(work), usable_cores())


if __name__ == "__main__":
    sys.exit(
        run(
            Program(
                name="python -m benchmarks.encoder",
                description="Measure the encoder through a real server.",
                rows=ROWS,
                bench=_bench,
                scale=lambda bench: asdict(bench.scale),
            )
        )
    )
