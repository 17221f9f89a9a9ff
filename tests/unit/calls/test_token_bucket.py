"""A rate with a burst, and with debts; the clock is the test's."""

from __future__ import annotations

from typing import Any

import pytest

from vecgate_server.calls.token_bucket import LONGEST_PROMISE_SECONDS, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def bucket_of(clock: Clock, rate: float, burst_seconds: float = 10.0) -> TokenBucket:
    bucket = TokenBucket(burst_seconds, clock)
    bucket.set_rate(rate)
    return bucket


def test_without_a_rate_there_is_always_enough(clock: Clock) -> None:
    bucket = TokenBucket(10.0, clock)
    bucket.take(1e9)
    assert bucket.seconds_until(1e9) == 0


def test_it_begins_full_and_fills_at_its_rate_up_to_the_burst(clock: Clock) -> None:
    bucket = bucket_of(clock, rate=2)
    assert bucket.seconds_until(20) == 0
    assert bucket.seconds_until(21) == 0.5
    bucket.take(20)
    assert bucket.seconds_until(1) == 0.5
    clock.now += 0.5
    assert bucket.seconds_until(1) == 0
    clock.now += 3_600
    assert bucket.seconds_until(21) == 0.5


def test_a_rate_below_one_a_burst_still_lets_one_through(clock: Clock) -> None:
    bucket = bucket_of(clock, rate=0.01, burst_seconds=1)
    assert bucket.seconds_until(1) == 0
    bucket.take(1)
    assert bucket.seconds_until(1) == pytest.approx(100)


def test_a_debt_is_paid_before_anything_is_there_again(clock: Clock) -> None:
    bucket = bucket_of(clock, rate=10, burst_seconds=1)
    bucket.take(50)
    assert bucket.seconds_until(1) == pytest.approx(4.1)
    clock.now += 4.1
    assert bucket.seconds_until(1) == pytest.approx(0, abs=1e-9)


def test_those_who_are_refused_are_promised_different_turns_none_far_away(clock: Clock) -> None:
    bucket = bucket_of(clock, rate=10, burst_seconds=1)
    bucket.take(10)
    promises = [bucket.promise() for _ in range(200)]
    assert promises[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert promises[-1] == pytest.approx(LONGEST_PROMISE_SECONDS)
    clock.now += 60
    bucket.take(10)
    assert bucket.promise() == pytest.approx(0.1)


@pytest.mark.parametrize(("rate", "left"), [(1, 10), (4, 15)])
def test_a_new_rate_keeps_what_was_used_and_no_more_than_its_burst(clock: Clock, rate: float, left: float) -> None:
    bucket = bucket_of(clock, rate=2)
    bucket.take(5)
    bucket.set_rate(rate)
    assert bucket.seconds_until(left) == 0
    assert bucket.seconds_until(left + 1) > 0


def test_a_rate_that_comes_anew_begins_full(clock: Any) -> None:
    bucket = bucket_of(clock, rate=0)
    bucket.take(5)
    bucket.set_rate(1)
    assert bucket.seconds_until(10) == 0
