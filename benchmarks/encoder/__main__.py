"""The command: measures rows, prints tables and verdicts, writes JSON.

Exit codes: 0 when every row was measured or left out with a reason, whatever the verdicts; 1 when one crashed; 2 for a
wrong command line or missing data.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.datasets import DatasetMissingError, data_folder, package_texts
from benchmarks.encoder.bench import FULL, QUICK, Bench, usable_cores
from benchmarks.encoder.machine import machine
from benchmarks.encoder.report import RowReport, as_json, print_machine, print_row, print_verdicts
from benchmarks.encoder.result import Row, RowSkippedError
from benchmarks.encoder.rows import ROWS


def main() -> int:
    """Run the command."""
    options = _read_options()
    # So that a run that is ended takes its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(width=None if sys.stdout.isatty() else 140)
    scale = QUICK if options.quick else FULL
    try:
        texts = package_texts(data_folder(), documents=scale.documents, queries=scale.queries)
    except DatasetMissingError as error:
        console.print(f"nothing can be measured: {error}", style="bold red", markup=False)
        return 2
    facts = machine()
    print_machine(console, facts)
    if options.quick:
        console.print("--quick: too little is measured for the figures to mean anything", style="yellow")
    with TemporaryDirectory(prefix="vecgate-bench-", ignore_cleanup_errors=True) as work:
        bench = Bench(scale, texts, data_folder(), Path(work), usable_cores())
        reports = [_measure(console, ROWS[name], bench) for name in options.rows]
    print_verdicts(console, reports)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(facts, asdict(scale), reports), indent=1) + "\n", encoding="utf-8")
    return int(any(report.crashed for report in reports))


def _measure(console: Console, row: Row, bench: Bench) -> RowReport:
    console.print(f"\nmeasuring {row.name}", style="dim")
    try:
        report = RowReport(row, measured=row.measure(bench))
    except (RowSkippedError, DatasetMissingError) as reason:
        report = RowReport(row, skipped=str(reason))
    except Exception:  # noqa: BLE001  # the other rows are measured all the same, and the exit code tells
        report = RowReport(row, crashed=traceback.format_exc())
    print_row(console, report)
    return report


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encoder",
        description="Measure the encoder through a real server. Rows: "
        + "; ".join(f"{row.name}: {row.title}" for row in ROWS.values()),
    )
    parser.add_argument("--quick", action="store_true", help="measure next to nothing, to see that every row works")
    parser.add_argument("--rows", type=_row_names, default=tuple(ROWS), metavar="NAME,...", help="these rows alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds of all figures")
    return parser.parse_args()


def _row_names(text: str) -> Sequence[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row is called {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
