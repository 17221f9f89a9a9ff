"""How each program in another language is started, and what it printed."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parents[2] / "clients"
# Go's gRPC of Debian 12 takes no retry policy otherwise.
ENVIRONMENT = {**os.environ, "GRPC_GO_RETRY": "on"}


@dataclass(frozen=True)
class Program:
    """A program of clients/, built by `make programs`."""

    language: str
    made: str
    interpreter: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """What was built."""
        return CLIENTS / self.language / self.made

    def command(self, *arguments: object) -> list[str]:
        """What starts it."""
        return [*self.interpreter, str(self.path), *map(str, arguments)]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=100, check=False, env=ENVIRONMENT
        )

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it, its output and errors to be read."""
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def answer(self, *arguments: object) -> dict[str, Any]:
        """Run it to its good end, and read what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{self.language}: {done.stderr}"
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


PROGRAMS = (
    Program("node", "build/main.js", ("node",)),
    Program("go", "build/example"),
    Program("java", "build/example"),
    Program("cpp", "build/example"),
)
