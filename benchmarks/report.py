"""Results as tables for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.result import Figure, Measured, Row, Verdict
from benchmarks.statistics import Outcome

STYLES = {Outcome.AIM_REACHED: "green", Outcome.REACHED: "green", Outcome.MISSED: "bold red"}


@dataclass(frozen=True, slots=True)
class RowReport:
    """What became of a row: measured, skipped with a reason, or crashed with an error."""

    row: Row[Any]
    measured: Measured | None = None
    skipped: str = ""
    crashed: str = ""


def print_machine(console: Console, facts: Mapping[str, str]) -> None:
    """Print what the measurement runs on."""
    for name, value in facts.items():
        console.print(f"[dim]{name:22}[/dim] {value}", highlight=False)


def print_row(console: Console, report: RowReport) -> None:
    """Print the figures of one row: median of its rounds, smallest and largest."""
    table = Table(title=f"{report.row.name}: {report.row.title}", title_justify="left", title_style="bold")
    for heading in ("", "median", "min", "max", "unit"):
        table.add_column(heading, justify="right" if heading in {"median", "min", "max"} else "left")
    if report.measured is not None:
        for each in (*report.measured.figures, *(verdict.figure for verdict in report.measured.verdicts)):
            table.add_row(each.label, *_cells(each), each.unit)
        console.print(table)
        for note in report.measured.notes:
            console.print(f"  {note}", style="dim", highlight=False)
        for line in report.measured.markdown:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if report.skipped:
        console.print(f"{report.row.name}: left out: {report.skipped}", style="yellow", markup=False)
    if report.crashed:
        console.print(f"{report.row.name} crashed:\n{report.crashed}", style="bold red", markup=False)


def print_verdicts(console: Console, reports: Sequence[RowReport]) -> None:
    """Print one line for everything that was asked."""
    table = Table(title="what was asked", title_justify="left", title_style="bold")
    for heading in ("row", "measure", "value", "asked", "aim", "verdict"):
        table.add_column(heading, justify="right" if heading in {"value", "asked", "aim"} else "left")
    for report in reports:
        if report.measured is None:
            word = "[bold red]CRASHED[/bold red]" if report.crashed else "left out"
            table.add_row(report.row.name, report.row.title, "", "", "", word)
            continue
        for verdict in report.measured.verdicts:
            table.add_row(report.row.name, *_verdict_cells(verdict))
    console.print(table)


def as_json(facts: Mapping[str, str], scale: Mapping[str, Any], reports: Sequence[RowReport]) -> dict[str, Any]:
    """Return everything as what json can write."""
    return {"machine": dict(facts), "scale": dict(scale), "rows": {report.row.name: _row(report) for report in reports}}


def _row(report: RowReport) -> dict[str, Any]:
    answer: dict[str, Any] = {"title": report.row.title}
    if report.measured is None:
        return answer | {"skipped": report.skipped, "crashed": report.crashed}
    return answer | {
        "figures": [_figure(each) for each in report.measured.figures],
        "verdicts": [
            _figure(verdict.figure)
            | asdict(verdict.target)
            | {"outcome": verdict.target.judge(verdict.figure.spread.median)}
            for verdict in report.measured.verdicts
        ],
        "notes": list(report.measured.notes),
    }


def _figure(each: Figure) -> dict[str, Any]:
    return {"label": each.label, "unit": each.unit, "rounds": list(each.rounds), **asdict(each.spread)}


def _cells(each: Figure) -> tuple[str, str, str]:
    spread = each.spread
    return _number(spread.median), _number(spread.lowest), _number(spread.highest)


def _verdict_cells(verdict: Verdict) -> tuple[str, ...]:
    target, value = verdict.target, verdict.figure.spread.median
    sign = "≤" if target.less_is_better else "≥"
    outcome = target.judge(value)
    aim = "" if target.aim is None else f"{sign} {_number(target.aim)}"
    word = f"[{STYLES[outcome]}]{outcome}[/{STYLES[outcome]}]"
    return (
        verdict.figure.label,
        f"{_number(value)} {verdict.figure.unit}".strip(),
        f"{sign} {_number(target.limit)}",
        aim,
        word,
    )


def _number(value: float) -> str:
    """Write a number with three to four digits that say something, and cosines near 1 in full."""
    if 0.99 < value < 1:
        return f"{value:.7f}"
    return (
        f"{value:,.0f}"
        if abs(value) >= 100 or value == int(value)
        else f"{value:.3g}"
        if value < 10
        else f"{value:.2f}"
    )
