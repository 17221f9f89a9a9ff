"""The checked-in blocking client is what the generator makes of the asynchronous one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_blocking_client_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "clients/python/generate_client.py", "--check"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
