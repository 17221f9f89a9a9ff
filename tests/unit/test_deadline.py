"""How long an answer may take, so that it arrives before its caller gives up."""

from __future__ import annotations

import contextvars

import pytest

from vecgate_server.deadline import margin, seconds_to_answer, set_seconds_left


def in_a_call(seconds: float | None) -> float | None:
    def call() -> float | None:
        set_seconds_left(seconds)
        return seconds_to_answer()

    return contextvars.Context().run(call)


@pytest.mark.parametrize(("given", "kept"), [(0.01, 0.02), (0.1, 0.02), (1, 0.1), (5, 0.5), (30, 1), (3_600, 1)])
def test_a_tenth_of_the_time_is_kept_for_the_way_back_within_bounds(given: float, kept: float) -> None:
    assert margin(given) == pytest.approx(kept)


def test_a_call_without_a_deadline_has_no_bound() -> None:
    assert in_a_call(None) is None
    assert contextvars.Context().run(seconds_to_answer) is None


def test_what_is_left_is_less_than_what_was_given() -> None:
    left = in_a_call(3_600)
    assert left is not None
    assert 3_500 < left <= 3_599
    over = in_a_call(0.01)
    assert over is not None
    assert over < 0
