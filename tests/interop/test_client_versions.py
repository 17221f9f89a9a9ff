"""The Python client with the oldest packages that pyproject.toml admits, and with the newest there are, against a server of today."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DEPENDENCIES: list[str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
TESTS = ["tests/e2e/test_client.py", "tests/unit/test_client_calls.py", "tests/unit/client", "tests/unit/upsert_many"]
FOR_TESTS = ["hpack", "hyperframe", "hypothesis", "pytest", "pytest-asyncio", "pytest-timeout", "trustme"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

pytestmark = [pytest.mark.interop, pytest.mark.model, pytest.mark.timeout(900)]


def oldest(requirement: str) -> str:
    """Turn a lower bound into the version itself."""
    found = re.fullmatch(r"(?P<name>[\w-]+)>=(?P<version>[\d.]+)(,!=[\d.*]+)*", requirement)
    assert found, (
        f"{requirement}: a dependency of the client has a lower bound, and versions it leaves out, and nothing else"
    )
    return f"{found['name']}=={found['version']}"


def run(*command: str | Path, seconds: float = 300, **variables: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=REPOSITORY,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    """Two environments are made and filled, which takes minutes."""
    if not request.config.getoption("--forbid-skips", default=False):
        pytest.skip("make test-interop makes an environment of the oldest packages, and one of the newest")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def server_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that runs the server of this environment, whichever environment the tests run in."""
    script = tmp_path_factory.mktemp("server") / "python"
    search_path = os.environ.get("PYTHONPATH", "")
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{search_path}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_the_client_passes_its_tests(age: str, wheel: Path, server_python: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    pinned = [oldest(requirement) for requirement in DEPENDENCIES] if age == "oldest" else DEPENDENCIES
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, *pinned, *FOR_TESTS)
    run(python, "-m", "pip", "check")
    run(
        python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *TESTS,
        seconds=500, VECGATE_TEST_SERVER_PYTHON=str(server_python),
    )  # fmt: skip
