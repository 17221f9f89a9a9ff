"""A bar with rate and time left, on stderr, where somebody watches.

The bar counts what is done, not what was sent, and its rate falls while nothing gets done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

WINDOW_S = 30.0
"""Seconds over which the rate is measured: long enough for batches that take seconds, short enough to follow a change."""
SAMPLES = 1_000
"""Moments remembered within the window at most."""


class Pace:
    """How fast items get done: over the last WINDOW_S seconds, the present moment included."""

    def __init__(self, done: int, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, done)], maxlen=SAMPLES)

    def done(self, items: int, now: float) -> None:
        """Note how many are done by now."""
        self._samples.append((now, items))

    def rate(self, now: float) -> float:
        """Return items a second; 0 before there is a measure."""
        # The last sample before the window is where the window begins.
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()
        began, before = self._samples[0]
        elapsed = now - began
        return (self._samples[-1][1] - before) / elapsed if elapsed > 0 else 0.0


class RateColumn(ProgressColumn):
    """Items a second, and the time that is left at this rate."""

    max_refresh = 0.5

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Show the rate, and the time left once there is one."""
        rate = self._pace.rate(time.monotonic())
        return Text(" ".join(filter(None, (f"{rate:,.0f}/s", _time_left(task, rate)))))


def _time_left(task: Task, rate: float) -> str:
    if task.total is None or task.completed >= task.total:
        return ""
    if rate <= 0:
        return "-:--:--"
    return str(timedelta(seconds=round((task.total - task.completed) / rate)))


class Bar:
    """One line of progress."""

    def __init__(self, progress: Progress, task: Task, pace: Pace) -> None:
        self._progress = progress
        self._task = task
        self._pace = pace

    def done(self, items: int) -> None:
        """Say how many are done by now."""
        self._pace.done(items, time.monotonic())
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
    pace = Pace(done, time.monotonic())
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), RateColumn(pace))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task_id = progress.add_task(title, total=total, completed=done)
        yield Bar(progress, progress.tasks[task_id], pace)
