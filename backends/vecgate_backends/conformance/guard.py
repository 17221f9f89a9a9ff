"""The guard of the suite: adopting it means running all of it, unchanged, on at least one case."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from vecgate_backends.conformance.case import Case


def suites() -> dict[str, type]:
    """Return every test class that the modules of the suite define, by name."""
    package = __name__.rpartition(".")[0]
    modules = [import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("Test") and value.__module__ == module.__name__
    }


class TestSuite:
    """Nothing was dropped, overridden or excused by a wrong name."""

    def test_no_test_was_dropped_or_overridden(self, request: pytest.FixtureRequest) -> None:
        assert {name: vars(request.module).get(name) for name in suites()} == suites()

    def test_every_known_gap_names_a_test(self, request: pytest.FixtureRequest) -> None:
        cases: list[Case] = request.module.CASES
        tests = {
            f"{name}.{test}" for name, suite in suites().items() for test in vars(suite) if test.startswith("test_")
        }
        assert [gap for case in cases for gap in case.gaps if gap not in tests] == []

    def test_there_are_cases_with_names_of_their_own(self, request: pytest.FixtureRequest) -> None:
        cases: list[Case] = request.module.CASES
        assert cases
        assert len({case.id for case in cases}) == len(cases)
