"""The suite's plugin: what it counts, what it calls a failure, and the capability matrix of the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from vecgate_backends.conformance import Case, Gap, GapKind
from vecgate_backends.conformance.capability_matrix import (
    BEGIN,
    END,
    ROWS,
    MatrixError,
    capability_matrix,
    check_matrix,
    write_matrix,
)
from vecgate_backends.conformance.features import FEATURES
from vecgate_backends.conformance.guard import suites
from vecgate_backends.conformance.stateful import TestHistories as Histories
from vecgate_backends.contract import Capabilities
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import CollectionSize, CollectionSpec

REPOSITORY = Path(__file__).parents[2]
ADOPTION = """
from dataclasses import replace
from vecgate_backends.conformance import *
from vecgate_backends.conformance import Case, Gap, GapKind
from vecgate_backends.errors import UnsupportedError
from vecgate_backends.memory import MemoryBackend, MemoryOptions

async def refuse(*what, **how):
    raise UnsupportedError("there are no statistics")

class WithoutStatistics(MemoryBackend):
    @property
    def capabilities(self):
        return replace(super().capabilities, field_stats=False)

    async def create_collection(self, spec):
        await super().create_collection(spec)
        (await self.collection(spec.name)).field_stats = refuse

GAPS = {f"TestFieldStats.{name}": Gap(GapKind.NOTIMPL, "none") for name in vars(TestFieldStats) if "test_" in name}
CASES = [
    Case("whole", lambda directory: MemoryBackend(MemoryOptions()), reopenable=False),
    Case("without", lambda directory: WithoutStatistics(MemoryOptions()), reopenable=False, gaps=GAPS, emulated=True),
]

def test_something_else():
    assert False
"""
SIZED = """
class TestSize:
    def test_it_is_as_asked(self, case):
        assert (case.examples, case.steps) == {"whole": (500, 40), "without": (100, 40)}[case.id]
"""
STATISTICS = sum(name.startswith("test_") for name in vars(suites()["TestFieldStats"]))


def run(directory: Path, module: str, *arguments: str) -> tuple[int, str]:
    """Run the plugin on a module as an outsider would, and return the exit code and what it printed."""
    (directory / "test_outside.py").write_text(module)
    command = ["-m", "pytest", "-p", "vecgate_backends.conformance.plugin", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        [sys.executable, *command], cwd=directory, capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stdout + done.stderr


def row(printed: str, name: str) -> Sequence[str]:
    """Return the cells of a row of the table."""
    (line,) = re.findall(rf"^ +{name}  (.*)$", printed, re.MULTILINE)
    return re.split(r" {2,}", line.strip())


def test_passed_refused_and_gaps_are_counted_by_backend_and_other_tests_left_out(tmp_path: Path) -> None:
    code, printed = run(tmp_path, ADOPTION, "--conformance", "-k", "TestFieldStats or TestRefusals or else")
    assert code == 0, printed
    assert re.search(r"^ +whole +without \(emulated\) *$", printed, re.MULTILINE)
    assert row(printed, "field statistics") == [f"{STATISTICS} / 0 / 0", f"0 / 0 / {STATISTICS}"]
    assert row(printed, "refusals") == ["17 / 3 / 0", "16 / 4 / 0"]


@pytest.mark.parametrize(
    ("change", "cell"),
    [("GAPS.clear()", f"{STATISTICS} FAILED 0 / 0 / 0"), ("pytestmark = __import__('pytest').mark.skip", "SKIPPED")],
    ids=["failed", "skipped"],
)
def test_what_failed_or_was_skipped_is_counted_and_fails_the_run(change: str, cell: str, tmp_path: Path) -> None:
    code, printed = run(tmp_path, f"{ADOPTION}\n{change}\n", "--conformance", "-k", "TestFieldStats")
    assert code == 1, printed
    assert cell in row(printed, "field statistics")[1]


def test_the_matrix_is_written_after_a_whole_run_only(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"{BEGIN}\nold\n{END}\n")
    code, printed = run(
        tmp_path, ADOPTION, "--conformance", "-k", "TestTokens", f"--conformance-write-matrix={document}"
    )
    assert code == 1
    assert "needs a whole run" in printed
    assert "old" in document.read_text()


def test_the_matrix_in_the_readme_is_current() -> None:
    # The guards of the suite are few and quick; the cases are known once they are collected.
    command = ["-m", "pytest", "-q", "-p", "vecgate_backends.conformance.plugin", "-p", "no:cacheprovider"]
    options = ["--conformance", "-k", "TestSuite", "--conformance-matrix=README.md", "tests/conformance"]
    everywhere = {name: value for name, value in os.environ.items() if name not in VENDORS}
    done = subprocess.run(
        [sys.executable, *command, *options],
        cwd=REPOSITORY,
        env=everywhere,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, f"run `make matrix`\n{done.stdout[-4000:]}{done.stderr[-2000:]}"


VENDORS = ("VECGATE_TEST_QDRANT_URL", "PINECONE_API_KEY")
"""Variables that bring real services, which not everybody has; `make matrix` leaves them out too."""


def test_a_matrix_tells_capabilities_stand_ins_and_gaps(tmp_path: Path) -> None:
    gaps = {"TestCount.test_x": Gap(GapKind.NEVER, "no such thing")}
    case = Case("some", lambda _: MemoryBackend(MemoryOptions()), gaps=gaps, emulated=True)
    matrix = capability_matrix([(case, Capabilities(durable=True, max_dimension=20_000))])
    assert {
        "|  | some (emulated) |",
        "| survives a restart | yes |",
        "| largest dimension | 20,000 |",
        "| unchanged text is not encoded again | no |",
        "| [conformance suite](docs/backends.md#what-the-suite-asserts) | all but 1 tests |",
        "- some (emulated), `TestCount.test_x`: never, no such thing",
    } <= set(matrix.splitlines())
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    with pytest.raises(MatrixError, match="not what the cases say"):
        check_matrix(document, matrix)
    write_matrix(document, matrix)
    check_matrix(document, matrix)
    assert document.read_text() == f"before\n{BEGIN}\n{matrix}\n{END}\nafter\n"
    document.write_text("no place\n")
    with pytest.raises(MatrixError, match="lacks the lines"):
        write_matrix(document, matrix)


def test_every_capability_has_a_row_and_every_class_a_feature() -> None:
    assert set(ROWS) == {field.name for field in fields(Capabilities)}
    assert sorted(name for classes in FEATURES.values() for name in classes) == sorted(suites().keys() - {"TestSuite"})


def test_a_run_asks_for_examples_and_steps_and_stand_ins_get_a_fifth(tmp_path: Path) -> None:
    module = f"{ADOPTION}\n{SIZED}"
    code, printed = run(tmp_path, module, "-k", "TestSize", "--conformance-examples=500", "--conformance-steps=40")
    assert code == 0, printed


class SizesAreCounted(MemoryBackend):
    """Counts how often each collection's size was asked for: twice after each step of a history."""

    def __init__(self, asked: list[int]) -> None:
        super().__init__(MemoryOptions())
        self._asked = asked

    async def create_collection(self, spec: CollectionSpec) -> None:
        await super().create_collection(spec)
        asked = self._asked
        asked.append(0)

        class Counting(MemoryCollection):
            async def size(self) -> CollectionSize:
                asked[-1] += 1
                return await super().size()

        self._collections[spec.name] = Counting(spec)


def test_histories_are_as_many_and_as_long_as_the_case_says(tmp_path: Path) -> None:
    asked: list[int] = []
    case = Case("counted", lambda _: SizesAreCounted(asked), reopenable=False, examples=10, steps=30)
    Histories().test_after_any_history_everything_readable_agrees_with_the_model(case, tmp_path)
    assert len(asked) >= 10
    assert max(asked) // 2 in {29, 30}
