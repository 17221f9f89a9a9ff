"""The bar's rate and time left: those of now, also after a pause."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from vecgate.cli.progress import Pace, RateColumn


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    pace = Pace(1_000, now=0.0)
    assert pace.rate(0.0) == 0.0
    for second in range(1, 61):
        pace.done(1_000 + 10 * second, now=float(second))
    assert pace.rate(60.0) == pytest.approx(10.0)
    for second in range(61, 121):
        pace.done(1_600 + 50 * (second - 60), now=float(second))
    assert pace.rate(120.0) == pytest.approx(50.0)


def test_the_rate_falls_while_nothing_gets_done() -> None:
    pace = Pace(0, now=0.0)
    pace.done(100, now=10.0)
    assert pace.rate(10.0) == pytest.approx(10.0)
    assert pace.rate(20.0) == pytest.approx(5.0)
    assert pace.rate(50.0) == 0.0


def test_what_was_done_before_is_no_speed() -> None:
    pace = Pace(5_000, now=0.0)
    assert pace.rate(10.0) == 0.0


@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [(50, 100, "5/s 0:00:10"), (0, 100, "0/s -:--:--"), (100, 100, "10/s"), (50, None, "5/s")],
)
def test_the_column_tells_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, done: int, total: int | None, shown: str
) -> None:
    monkeypatch.setattr("vecgate.cli.progress.time.monotonic", lambda: 10.0)
    pace = Pace(0, now=0.0)
    pace.done(done, now=10.0)
    bar = Progress(console=Console(file=io.StringIO()))
    bar.add_task("x", total=total, completed=done)
    assert RateColumn(pace).render(bar.tasks[0]).plain == shown
