"""The command line in tests: run here, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import pytest

from vecgate.cli.app import run

VECGATE = [sys.executable, "-c", "from vecgate.cli import main; main()"]


class Server(Protocol):
    """A running server."""

    address: str


class Outcome(NamedTuple):
    """What a command line left behind."""

    status: int
    out: str
    err: str


Vecgate = Callable[..., Outcome]


def running(address: str, capfd: pytest.CaptureFixture[str]) -> Vecgate:
    """Return what runs a command line against a server."""

    def vecgate(*arguments: str) -> Outcome:
        status = run(["--target", address, *arguments])
        return Outcome(status, *capfd.readouterr())

    return vecgate


@contextmanager
def vecgate_process(server: Server, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command line as a process of its own, with pipes."""
    process = subprocess.Popen(
        [*VECGATE, "--target", server.address, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def assert_one_error_line(outcome: Outcome, status: int, *words: str) -> None:
    """Check that a command failed with one line that holds these words."""
    assert outcome.status == status
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err
