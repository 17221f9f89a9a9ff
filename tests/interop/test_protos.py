"""The .proto files hold Buf's rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.interop


@pytest.mark.parametrize("command", [["lint"], ["format", "--diff", "--exit-code"]], ids=["lint", "format"])
def test_protos_pass_buf(node_modules: Path, command: list[str]) -> None:
    done = subprocess.run(
        [node_modules / ".bin/buf", *command],
        cwd=REPOSITORY / "protos",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
