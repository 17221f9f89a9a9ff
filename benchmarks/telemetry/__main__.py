"""The command of the rows of what telemetry costs: see benchmarks/command.py."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import Program, run
from benchmarks.telemetry.bench import FULL, QUICK, Bench
from benchmarks.telemetry.rows import ROWS


@contextmanager
def _bench(options: Namespace) -> Iterator[Bench]:
    with TemporaryDirectory(prefix="vecgate-bench-", ignore_cleanup_errors=True) as work:
        yield Bench(QUICK if options.quick else FULL, Path(work))


if __name__ == "__main__":
    sys.exit(
        run(
            Program(
                name="python -m benchmarks.telemetry",
                description="Measure what metrics and traces cost a call.",
                rows=ROWS,
                bench=_bench,
                scale=lambda bench: asdict(bench.scale),
            )
        )
    )
