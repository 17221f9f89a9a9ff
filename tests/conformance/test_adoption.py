"""Adopting the suite from outside: one file, no settings, and no way to leave a test out unseen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from vecgate_backends import conformance

DOCUMENT = (Path(__file__).parents[2] / "docs/backends.md").read_text()
ADOPTION = """
from vecgate_backends.conformance import *
from vecgate_backends.conformance import Case, Gap, GapKind
from vecgate_backends.memory import MemoryBackend, MemoryOptions

GAPS = {}
CASES = [Case("outside", lambda directory: MemoryBackend(MemoryOptions()), reopenable=False, gaps=GAPS)]
"""
NO_STATISTICS = """
class WithoutStatistics(MemoryBackend):
    async def create_collection(self, spec):
        await super().create_collection(spec)
        (await self.collection(spec.name)).field_stats = None

CASES = [Case("outside", lambda directory: WithoutStatistics(MemoryOptions()), reopenable=False, gaps=GAPS)]
for name in vars(TestFieldStats):
    if name.startswith("test_"):
        GAPS[f"TestFieldStats.{name}"] = Gap(GapKind.NOTIMPL, "no statistics")
"""
FILTERED = "TestFieldStats.test_a_filter_bounds_what_is_counted"
ADOPTIONS: Mapping[str, tuple[str, Counter[str]]] = {
    "as documented": ("", Counter(passed=8)),
    "a known gap": (NO_STATISTICS, Counter(passed=3, xfailed=5)),
    "an overridden class": ("class TestFieldStats: pass", Counter(passed=2, failed=1)),
    "a dropped class": ("del TestTokens", Counter(passed=7, failed=1)),
    "two cases of one name": ("CASES *= 2", Counter(passed=12, failed=1)),
    "a gap that names no test": ('GAPS["TestFieldStats.no"] = Gap(GapKind.NEVER, "?")', Counter(passed=7, failed=1)),
    "a gap that is none": (f'GAPS["{FILTERED}"] = Gap(GapKind.NOTYET, "?")', Counter(passed=7, failed=1)),
}
"""What an outsider wrote after ADOPTION, and what becomes of a few classes of the suite."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    """Run every adoption, in one process, as an outsider would: no settings, no conftest."""
    directory = tmp_path_factory.mktemp("outside")
    for number, (change, _) in enumerate(ADOPTIONS.values()):
        (directory / f"test_{number}.py").write_text(f"{ADOPTION}\n{change}\n")
    report = directory / "report.xml"
    few = [f"test_{number}.py::{name}" for number in range(len(ADOPTIONS)) for name in ("TestFieldStats", "TestSuite")]
    subprocess.run(
        [sys.executable, "-m", "pytest", f"--junitxml={report}", *few],
        cwd=directory,
        capture_output=True,
        check=False,
        timeout=100,
    )
    counted: dict[str, Counter[str]] = {name: Counter() for name in ADOPTIONS}
    for case in ET.parse(report).iter("testcase"):
        module = case.attrib["classname"].split(".")[0]
        name = list(ADOPTIONS)[int(module.removeprefix("test_"))]
        counted[name][_outcome(case)] += 1
    return counted


def _outcome(case: ET.Element) -> str:
    kinds = {"pytest.xfail": "xfailed", "pytest.skip": "skipped"}
    skipped = case.find("skipped")
    if skipped is not None:
        return kinds[skipped.attrib["type"]]
    return "passed" if len(case.findall("failure") + case.findall("error")) == 0 else "failed"


@pytest.mark.parametrize("adoption", ADOPTIONS)
def test_an_adoption_passes_or_fails_as_it_should(adoption: str, outcomes: dict[str, Counter[str]]) -> None:
    _, expected = ADOPTIONS[adoption]
    assert outcomes[adoption] == expected


def test_the_document_lists_every_class_of_the_suite() -> None:
    listed = set(re.findall(r"`(Test\w+)`", DOCUMENT))
    assert listed == {name for name in conformance.__all__ if name.startswith("Test")}
