"""Programs in other languages and tools from other registries, against a real server."""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest
from languages.program import PROGRAMS, Program

REPOSITORY = Path(__file__).parents[2]
# These run in environments of their own: see test_ecosystem.py.
collect_ignore = ["ecosystem"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forbid-skips", action="store_true", help="a skipped test is a failed one")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--forbid-skips", default=False):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which --forbid-skips forbids: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where npm put the packages of clients/node."""
    folder = REPOSITORY / "clients/node/node_modules"
    if not folder.is_dir():
        pytest.skip("the Node.js packages are not installed: make test-interop")
    return folder


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def built(program: Program) -> Program:
    if not program.path.exists():
        pytest.skip(f"clients/{program.language} is not built: make test-interop")
    return program


@pytest.fixture(scope="session", params=PROGRAMS, ids=lambda program: program.language)
def program(request: pytest.FixtureRequest) -> Program:
    """Each program in another language, built."""
    return built(request.param)


@pytest.fixture(scope="session")
def all_programs() -> Sequence[Program]:
    """All of them, built."""
    return [built(program) for program in PROGRAMS]
