"""The rules of the repository that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ["server/vecgate_server", "backends/vecgate_backends", "clients/python/vecgate"]
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 40
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def product_files() -> list[Path]:
    return [
        path
        for room in ROOMS
        for path in sorted((REPOSITORY / room).rglob("*.py"))
        if not path.stem.endswith(("_pb2", "_pb2_grpc"))
    ]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="lint"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["mypy"], id="types"),
        pytest.param(
            ["codespell", "README.md", "docs", "server", "backends", "clients/python", "tests", "protos"], id="spelling"
        ),
    ],
)
@pytest.mark.timeout(600)
def test_the_code_passes(command: list[str]) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_imports_run_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_file_outgrows_its_subject() -> None:
    long = {
        str(path): lines for path in product_files() if (lines := path.read_text().count("\n")) > MOST_LINES_OF_A_FILE
    }
    assert not long


def test_no_function_outgrows_a_screen() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path in product_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


def test_every_name_says_what_is_in_it() -> None:
    assert not [path for path in product_files() if NAMES_THAT_SAY_NOTHING & set(path.stem.split("_"))]
