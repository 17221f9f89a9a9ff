"""Results of a run, counted by backend and feature, and the tables they are told in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.table import Table

from vecgate_backends.conformance.features import FEATURES


class Outcome(StrEnum):
    """What became of one test of one case.

    REFUSED: it passed because the backend refused what its capabilities deny. GAP: it failed as it was known to. SKIPPED is a
    failure too: there is no such way round a test.
    """

    PASSED = "passed"
    REFUSED = "refused"
    GAP = "gap"
    FAILED = "failed"
    SKIPPED = "skipped"


Counts: TypeAlias = Counter[tuple[str, str, Outcome]]
"""(case title, feature, outcome) → tests."""
BAD = (Outcome.FAILED, Outcome.SKIPPED)


def results_table(titles: Iterable[str], counts: Counts) -> Table:
    """Return the table feature x backend; features of which nothing was run are left out."""
    titles = list(titles)
    seen = {feature for _, feature, _ in counts}
    table = _table("passed / refused / gap")
    for title in titles:
        table.add_column(title, justify="right")
    for feature in FEATURES:
        if feature in seen:
            table.add_row(feature, *(_cell(counts, title, [feature]) for title in titles))
    table.add_section()
    table.add_row("all", *(_cell(counts, title, FEATURES) for title in titles))
    return table


def agreement_table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the table of how filtered queries were answered; `figures` holds an Agreement as a dictionary for each case."""
    table = _table("filtered queries, compared with the exact answers")
    for heading in ("records", "queries", "exact: same ids", "but for ties", "indexed: same ids", "recall@10"):
        table.add_column(heading, justify="right")
    table.add_column("indexing s", justify="right")
    table.add_column("exact s", justify="right")
    table.add_column("indexed s", justify="right")
    for title, each in figures.items():
        exact, indexed = each["exact"], each["indexed"]
        table.add_row(
            title,
            f"{each['records']:,}",
            str(each["queries"]),
            str(exact["same"]) if exact else "refused",
            str(exact["tied"]) if exact else "",
            str(indexed["same"]),
            f"{indexed['recall']:.4f}",
            f"{each['indexing_seconds']:.1f}",
            f"{exact['seconds']:.1f}" if exact else "",
            f"{indexed['seconds']:.1f}",
        )
    return table


def _cell(counts: Counts, title: str, features: Iterable[str]) -> str:
    sums = {outcome: sum(counts[title, feature, outcome] for feature in features) for outcome in Outcome}
    bad = [f"{sums[outcome]} {outcome.upper()}" for outcome in BAD if sums[outcome]]
    return " ".join([*bad, f"{sums[Outcome.PASSED]} / {sums[Outcome.REFUSED]} / {sums[Outcome.GAP]}"])


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    return table
