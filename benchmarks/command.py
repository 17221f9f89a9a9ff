"""The command around rows: measures those that are asked for, prints tables and verdicts, writes JSON.

Exit codes: 0 when every row was measured or left out with a reason, whatever the verdicts; 1 when one crashed; 2 for a
wrong command line or missing data.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from benchmarks.datasets import DatasetMissingError
from benchmarks.machine import machine
from benchmarks.report import RowReport, as_json, print_machine, print_row, print_verdicts
from benchmarks.result import Row, RowSkippedError

Bench = TypeVar("Bench")


@dataclass(frozen=True, slots=True)
class Program(Generic[Bench]):
    """A command with rows of one kind.

    Attributes:
        name: how it is called. description: for its help.
        rows: by name, in the order they run.
        bench: makes what every row is given from the options (`quick`); raises DatasetMissingError.
        scale: how much is measured, for the JSON.
    """

    name: str
    description: str
    rows: Mapping[str, Row[Bench]]
    bench: Callable[[argparse.Namespace], AbstractContextManager[Bench]]
    scale: Callable[[Bench], Mapping[str, Any]]


def run(program: Program[Bench]) -> int:
    """Run the command and return its exit code."""
    options = _read_options(program)
    # So that a run that is ended takes its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(width=None if sys.stdout.isatty() else 140)
    facts = machine()
    try:
        with program.bench(options) as bench:
            print_machine(console, facts)
            if options.quick:
                console.print("--quick: too little is measured for the figures to mean anything", style="yellow")
            reports = [_measure(console, program.rows[name], bench) for name in options.rows]
            scale = program.scale(bench)
    except DatasetMissingError as error:
        console.print(f"nothing can be measured: {error}", style="bold red", markup=False)
        return 2
    print_verdicts(console, reports)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(facts, scale, reports), indent=1) + "\n", encoding="utf-8")
    return int(any(report.crashed for report in reports))


def _measure(console: Console, row: Row[Bench], bench: Bench) -> RowReport:
    console.print(f"\nmeasuring {row.name}", style="dim")
    try:
        report = RowReport(row, measured=row.measure(bench))
    except (RowSkippedError, DatasetMissingError) as reason:
        report = RowReport(row, skipped=str(reason))
    except Exception:  # noqa: BLE001  # the other rows are measured all the same, and the exit code tells
        report = RowReport(row, crashed=traceback.format_exc())
    print_row(console, report)
    return report


def _read_options(program: Program[Bench]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program.name,
        description=f"{program.description} Rows: "
        + "; ".join(f"{row.name}: {row.title}" for row in program.rows.values()),
    )
    parser.add_argument("--quick", action="store_true", help="measure next to nothing, to see that every row works")
    parser.add_argument(
        "--rows",
        type=lambda text: _row_names(program, text),
        default=tuple(name for name, row in program.rows.items() if not row.by_name_only),
        metavar="NAME,...",
        help="these rows alone",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds of all figures")
    return parser.parse_args()


def _row_names(program: Program[Bench], text: str) -> Sequence[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in program.rows]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row is called {', '.join(unknown)}; there are {', '.join(program.rows)}")
    return names
