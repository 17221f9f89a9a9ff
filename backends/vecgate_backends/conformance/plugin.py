"""A pytest plugin that counts what the suite found, by backend and feature: `pytest -p vecgate_backends.conformance.plugin`.

The suite runs without it too. It adds the options of a long run, of a run on real records, and of the capability matrix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.console import Console

from vecgate_backends.conformance.agreement import AGREEMENT
from vecgate_backends.conformance.capability_matrix import (
    MatrixError,
    capability_matrix,
    check_matrix,
    write_matrix,
)
from vecgate_backends.conformance.case import Case
from vecgate_backends.conformance.features import feature_of
from vecgate_backends.conformance.fixtures import REFUSED
from vecgate_backends.conformance.guard import suites
from vecgate_backends.conformance.recall import LEAST_RECALL
from vecgate_backends.conformance.results import BAD, Counts, Outcome, agreement_table, results_table

WIDTH = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each begins with --conformance."""
    group = parser.getgroup("conformance", "the conformance suite of vecgate's backends")
    group.addoption("--conformance", action="store_true", help="run the tests of the suite alone")
    group.addoption(
        "--conformance-examples", type=int, metavar="N", help="random cases of each property (emulated: N / 5)"
    )
    group.addoption("--conformance-steps", type=int, metavar="N", help="operations of each random history")
    group.addoption(
        "--conformance-records", type=Path, metavar="NPZ", help="records for TestAgreement: agreement_data.py"
    )
    group.addoption(
        "--conformance-recall", type=float, metavar="R", default=LEAST_RECALL, help="least recall@10 on them"
    )
    group.addoption(
        "--conformance-matrix", type=Path, metavar="FILE", help="the capability matrix in it must be current"
    )
    group.addoption(
        "--conformance-write-matrix", type=Path, metavar="FILE", help="write it there after a whole good run"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.pluginmanager.register(Results(config), "conformance-results")


class Results:
    """Counts the outcomes of a session, and tells them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._places: dict[str, tuple[str, str]] = {}
        self._cases: dict[str, Case] = {}
        self._matrix = ""
        self._outcomes: dict[str, Outcome] = {}
        self._agreement: dict[str, Mapping[str, Any]] = {}
        self._left_out = 0
        self._problem = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Learn the cases and where each test belongs; with --conformance, leave other tests out."""
        whole = set(suites().values())
        own = [item for item in items if isinstance(item, pytest.Function) and item.cls in whole]
        for item in own:
            case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
            if isinstance(case, Case) and item.cls is not None:
                self._cases.setdefault(case.title, case)
                self._places[item.nodeid] = (case.title, feature_of(item.cls.__name__))
        if self._config.option.conformance:
            self._config.hook.pytest_deselected(items=[item for item in items if item not in set(own)])
            items[:] = own
        if self._config.option.conformance_matrix or self._config.option.conformance_write_matrix:
            self._matrix = matrix_of(list(self._cases.values()))

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note that tests of the suite were left out."""
        whole = {*suites().values()}
        self._left_out += sum(getattr(item, "cls", None) in whole for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test; what went wrong in any phase stands."""
        if report.nodeid not in self._places:
            return
        title, _ = self._places[report.nodeid]
        outcome = _outcome(report)
        if outcome is not None and self._outcomes.get(report.nodeid) not in BAD:
            self._outcomes[report.nodeid] = outcome
        self._agreement.update(
            (title, value) for name, value in report.user_properties if name == AGREEMENT and isinstance(value, Mapping)
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Check or write the matrix; a skipped test and a stale matrix end the run with 1."""
        if any(outcome is Outcome.SKIPPED for outcome in self._outcomes.values()):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        try:
            self._settle_matrix(whole=not (session.exitstatus or self._left_out))
        except MatrixError as error:
            self._problem = str(error)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tables."""
        if self._outcomes:
            terminalreporter.section("conformance")
            terminalreporter.write(_rendered(results_table(self._cases, self.counts())))
        if self._agreement:
            terminalreporter.write(_rendered(agreement_table(self._agreement)))
        if self._problem:
            terminalreporter.write_line(self._problem, red=True)

    def _settle_matrix(self, *, whole: bool) -> None:
        checked: Path | None = self._config.option.conformance_matrix
        written: Path | None = self._config.option.conformance_write_matrix
        if checked:
            check_matrix(checked, self._matrix)
        if written and not whole:
            raise MatrixError("the capability matrix was not written: it needs a whole run without failures")
        if written:
            write_matrix(written, self._matrix)

    def counts(self) -> Counts:
        """Return how often each outcome came, by case and feature."""
        return Counter((*self._places[nodeid], outcome) for nodeid, outcome in self._outcomes.items())


def matrix_of(cases: Sequence[Case]) -> str:
    """Return the capability matrix; each case is built for its capabilities, and not started."""
    with TemporaryDirectory() as directory:
        return capability_matrix([(case, case.build(Path(directory)).capabilities) for case in cases])


def _outcome(report: pytest.TestReport) -> Outcome | None:
    if report.failed:
        return Outcome.FAILED
    if report.skipped:
        return Outcome.GAP if hasattr(report, "wasxfail") else Outcome.SKIPPED
    if report.when == "teardown":
        return Outcome.REFUSED if REFUSED in dict(report.user_properties) else None
    return Outcome.PASSED if report.when == "call" else None


def _rendered(table: Any) -> str:
    console = Console(width=WIDTH, record=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
