"""A Node.js program with nothing but @grpc/grpc-js and the .proto files talks to a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.interop, pytest.mark.model]


@pytest.fixture
def node(node_modules: Path) -> str:
    """The interpreter, its packages installed."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed: make test-interop")
    return found


def run_example(node: str, address: str) -> subprocess.CompletedProcess[str]:
    command = [node, str(REPOSITORY / "clients/node/example.js"), address]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_node_encodes_upserts_and_searches(node: str, model_server: Any) -> None:
    done = run_example(node, model_server.address)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["dimension"], answer["stored"]) == ("all-MiniLM-L6-v2", 384, 3)
    by_text = {match["id"]: match["score"] for match in answer["by_text"]}
    by_vector = {match["id"]: match["score"] for match in answer["by_vector"]}
    assert [match["year"] for match in answer["by_text"]] == ["2021", "2024"]
    assert list(by_text) == list(by_vector)[:2] == ["mat", "rug"]
    assert by_text == pytest.approx({key: by_vector[key] for key in by_text}, abs=1e-5)
    assert by_text["rug"] > 0.4
    assert by_vector["rates"] < 0.1
    assert answer["refused"] == {"code": "INVALID_ARGUMENT", "reason": "INVALID_ARGUMENT"}


def test_node_tells_in_one_line_that_no_server_answers(node: str, free_port: int) -> None:
    done = run_example(node, f"127.0.0.1:{free_port}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
