"""The command line in tests: run here, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

import pytest

from vecgate import Record, UpsertProgress
from vecgate.cli.app import run
from vecgate.client.ingesting import Ingesting

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


@contextmanager
def called_after(finished: int, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let something happen when so many records of an upsert_many() are finished, the first time that they are."""
    upsert_many = Ingesting.upsert_many
    over: list[bool] = []

    def watched(self: Ingesting, *arguments: Any, on_progress: Callable[[UpsertProgress], None], **options: Any) -> Any:
        def note(progress: UpsertProgress) -> None:
            on_progress(progress)
            if progress.finished >= finished and not over:
                over.append(True)
                action()

        return upsert_many(self, *arguments, on_progress=note, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Ingesting, "upsert_many", watched)
        yield
    assert over


def interrupted_after(finished: int, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """Let Ctrl-C come when so many records of an upsert_many() are finished."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    return called_after(finished, interrupt, monkeypatch)


def records_sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list in which the ids of records will be that upsert_many() is given from now on."""
    upsert_many = Ingesting.upsert_many
    sent: list[str] = []

    def noted(records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            sent.append(record.id)
            yield record

    def noting(self: Ingesting, collection: str, records: Iterable[Record], **options: Any) -> Any:
        return upsert_many(self, collection, noted(records), **options)

    monkeypatch.setattr(Ingesting, "upsert_many", noting)
    return sent


def assert_one_error_line(outcome: Outcome, status: int, *words: str) -> None:
    """Check that a command failed with one line that holds these words."""
    assert outcome.status == status
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    for word in words:
        assert word in outcome.err
