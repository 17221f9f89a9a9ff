"""The stores for LangChain and Haystack, in those projects' own standard tests and in ours, against a real server.

Both bring plugins for pytest and many packages, so each has an environment of its own, which `make test-interop` makes.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

REPOSITORY = Path(__file__).parents[2]
SUITES = REPOSITORY / "tests/interop/ecosystem"
pytestmark = [pytest.mark.interop, pytest.mark.model, pytest.mark.timeout(600)]

STANDARD = {
    "langchain": {
        "TestServerEncodes": 25,  # VectorStoreIntegrationTests: 12 tests, their asynchronous twins, and that none is overridden
        "TestGivenEmbeddings": 25,
        "TestEmbeddings": 5,
        "TestEmbeddingsAlone": 3,
        "TestRetriever": 5,
    },
    "haystack": {
        "TestDocumentStore": 83,  # base and extended tests, and the five mixins about metadata
        "TestDocumentStoreAsync": 44,
    },
}
"""How many standard tests there are, by the class that takes them over."""


def run_suite(project: str, address: str, report: Path) -> Counter[tuple[str, str]]:
    """Run a project's tests in its own environment; return how many came out how, by class."""
    python = REPOSITORY / f".venv-{project}/bin/python"
    if not python.exists():
        pytest.skip(f"the environment of {project} is not made: make test-interop")
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-c", SUITES / project / "pytest.ini", SUITES / project, "--junitxml", report],
        cwd=report.parent,
        env=os.environ
        | {
            "VECGATE_TEST_TARGET": address,
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "LANGSMITH_TRACING": "false",
        },
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    outcomes = {"skipped", "failure", "error"}
    return Counter(
        (
            case.get("classname", "").rpartition(".")[2],
            next((part.tag for part in case if part.tag in outcomes), "passed"),
        )
        for case in ET.parse(report).getroot().iter("testcase")
    )


@pytest.mark.parametrize("project", ["langchain", "haystack"])
def test_a_project_accepts_its_store(project: str, model_server: Any, tmp_path: Path) -> None:
    counts = run_suite(project, model_server.address, tmp_path / "report.xml")
    assert {outcome for _, outcome in counts} == {"passed"}
    assert {name: counts[name, "passed"] for name in STANDARD[project]} == STANDARD[project]
    assert counts["test_store", "passed"] > 20
