"""A run that stores many records: its options, its bar, what is said when it stops, and the summary at its end."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from vecgate.cli.checkpoint import Checkpoint, Position, checkpoint_for
from vecgate.cli.faults import EXIT_REFUSED, InputFault, Interrupted
from vecgate.cli.indexing import Job
from vecgate.cli.progress import progress_bar
from vecgate.cli.refusals import REFUSED_SUFFIX, Refusals
from vecgate.cli.sources import Source
from vecgate.client import Client
from vecgate.errors import VecgateError

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_PATIENCE = 120.0
"""Seconds in which a server that is away may come back."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run.

    Attributes:
        batch_size: records of a batch; None: as many as the server's window suggests.
        patience: seconds to wait for a server that is away, or that does nothing.
        refused: where refused records go; None: named after the source, in this directory.
        restart: begin at the first record, also after an interrupted run.
        state_directory: where interrupted runs are remembered.
    """

    batch_size: int | None
    patience: float
    refused: Path | None
    restart: bool
    state_directory: Path

    def refused_path(self, source: Source) -> Path:
        """Return where refused records of a source go. Neither that nor remembering the run shall be what stops it in its middle.

        Raises:
            InputFault: nothing can be written there, or in the state directory.
        """
        path = self.refused or Path(f"{Path(source.name).resolve().name}{REFUSED_SUFFIX}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise InputFault(f"{path}: refused records could not be written there", "name another place with --refused")
        if source.rereadable:
            self._check_state_directory()
        return path

    def _check_state_directory(self) -> None:
        hint = "name another place with --state-dir or VECGATE_STATE_DIR"
        try:
            self.state_directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputFault(f"{self.state_directory}: {error.strerror}; the run is remembered there", hint) from None
        if not os.access(self.state_directory, os.W_OK | os.X_OK):
            raise InputFault(f"{self.state_directory}: the run could not be remembered there", hint)

    def check_batch_size(self, client: Client) -> None:
        """Refuse batches that the server does not take, before a collection is made for them.

        Raises:
            InputFault: they are larger than its limit.
            VecgateError: the server did not tell its limits.
        """
        if self.batch_size is not None and self.batch_size > (most := client.server_info().limits.max_batch):
            raise InputFault(f"--batch-size {self.batch_size}: the server takes at most {most} records at a time")

    def begin(self, source: Source, circumstances: Sequence[object]) -> tuple[Checkpoint | None, Position]:
        """Return the checkpoint of a source, None if it cannot be read twice, and where to begin."""
        if not source.rereadable:
            return None, Position()
        checkpoint = checkpoint_for(source.identity(), self.state_directory, circumstances)
        return checkpoint, Position() if self.restart else checkpoint.load()


RUN_OPTIONS = (
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        metavar="N",
        help="Records acknowledged together; default: as the server suggests.",
    ),
    click.option(
        "--wait",
        "patience",
        type=click.FloatRange(min=0, min_open=True),
        default=DEFAULT_PATIENCE,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a server that is away.",
    ),
    click.option(
        "--refused",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="PATH",
        help="Where to write refused records; default: FILE's name with .refused.jsonl, in this directory.",
    ),
    click.option("--restart", is_flag=True, help="Begin at the first record, also after an interrupted run."),
    click.option(
        "--state-dir",
        "state_directory",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="VECGATE_STATE_DIR",
        show_envvar=True,
        default=lambda: Path(click.get_app_dir("vecgate")) / "index",
        help="Where interrupted runs are remembered; default: in this user's application directory.",
    ),
)


def with_run_options(command: Command) -> Command:
    """Give a command `run`: how records are stored, with the options that say it."""

    @functools.wraps(command)
    def running(
        *arguments: Any,
        batch_size: int | None,
        patience: float,
        refused: Path | None,
        restart: bool,
        state_directory: Path,
        **options: Any,
    ) -> Any:
        run = RunOptions(batch_size, patience, refused, restart, state_directory)
        return command(*arguments, run=run, **options)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(RUN_OPTIONS), running)  # type: ignore[return-value]  # click calls it with the options of both


def run_to_end(job: Job, start: Position, total: int | None, title: str) -> int:
    """Store everything behind `start`, print the summary, and return the exit status.

    Args:
        job: what is to be stored.
        start: where it begins.
        total: rows in all; None if nobody knows.
        title: what the bar says.
    """
    if start.rows:
        click.echo(f"continuing after {start.rows:,} records", err=True)
    position = start
    began = time.monotonic()
    try:
        with progress_bar(title, total=total, done=start.rows) as bar:

            def settled(now: Position) -> None:
                nonlocal position
                position = now
                bar.done(now.rows)

            position = job.run(start, settled)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_standing(position, job.checkpoint)}") from None
    except (VecgateError, OSError, InputFault) as error:
        error.add_note(_standing(position, job.checkpoint))
        raise
    finally:
        job.refusals.close()
    if job.checkpoint is not None:
        job.checkpoint.clear()
    return _report(job.refusals, position, start, time.monotonic() - began)


def _standing(position: Position, checkpoint: Checkpoint | None) -> str:
    """Say what is stored (the server may have stored more than it could acknowledge), and how to go on."""
    stored = f"at least {position.stored:,} records are stored"
    return stored if checkpoint is None else f"{stored}, the same command continues from there"


def _report(refusals: Refusals, position: Position, start: Position, seconds: float) -> int:
    """Print the summary and return the exit status."""
    done = position.stored + position.refused - start.stored - start.refused
    rate = done / max(seconds, 1e-9)
    reused = f", {position.reused:,} with text encoded before" if position.reused else ""
    cut = f", {position.truncated:,} with text cut" if position.truncated else ""
    reconnected = f", reconnected {position.reconnects} times" if position.reconnects else ""
    click.echo(
        f"stored {position.stored:,} records{reused}{cut}, refused {position.refused:,} "
        f"({seconds:.1f} s, {rate:,.0f} records/s{reconnected})"
    )
    if not position.refused:
        return 0
    for example in refusals.examples:
        click.echo(f"refused: {example}", err=True)
    click.echo(f"refused: all {position.refused:,} with their reasons are in {refusals.path}", err=True)
    return EXIT_REFUSED
