"""A bar with rate and time left, on stderr, where somebody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class RateColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        """Show the rate, once there is one."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class Bar:
    """One line of progress."""

    def __init__(self, progress: Progress, task: Task) -> None:
        self._progress = progress
        self._task = task

    def done(self, items: int) -> None:
        """Say how many are done by now."""
        self._progress.update(self._task.id, completed=items)


@contextmanager
def progress_bar(title: str, *, total: int | None, done: int = 0) -> Iterator[Bar]:
    """Show a bar while the block runs; nothing where stderr is no terminal.

    Args:
        title: what is being done.
        total: items in all; None if nobody knows.
        done: items done before.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task_id = progress.add_task(title, total=total, completed=done)
        yield Bar(progress, progress.tasks[task_id])
