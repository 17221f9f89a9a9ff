"""What the benchmarks say of what they measured."""

from __future__ import annotations

import pytest
from benchmarks.encoder.load import BulkCall, BulkLoad
from benchmarks.quality import ndcg_at_10
from benchmarks.statistics import Outcome, Spread, Target, percentile, ratios, spread


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, q) for q in (20, 21, 50, 80, 99, 100)] == [1, 2, 3, 4, 5, 5]
    assert percentile(list(map(float, range(1, 1_001))), 99) == 990


def test_rounds_are_summed_up_by_their_median_and_their_ends() -> None:
    assert spread([3.0, 9.0, 1.0]) == Spread(median=3, lowest=1, highest=9)
    assert spread([2.0]) == Spread(2, 2, 2)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10.0, 90.0], [5.0, 30.0]) == [2, 3]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("target", "value", "outcome"),
    [
        (Target(1.8, 2.1), 2.1, Outcome.AIM_REACHED),
        (Target(1.8, 2.1), 1.8, Outcome.REACHED),
        (Target(1.8, 2.1), 1.79, Outcome.MISSED),
        (Target(6, 3, less_is_better=True), 3, Outcome.AIM_REACHED),
        (Target(6, 3, less_is_better=True), 6, Outcome.REACHED),
        (Target(6, 3, less_is_better=True), 6.1, Outcome.MISSED),
        (Target(0, less_is_better=True), 0, Outcome.REACHED),
        (Target(1.0), float("nan"), Outcome.MISSED),
        (Target(1.0, less_is_better=True), float("nan"), Outcome.MISSED),
    ],
)
def test_a_value_is_judged_by_the_limit_and_the_aim(target: Target, value: float, outcome: Outcome) -> None:
    assert target.judge(value) is outcome


def test_the_rate_of_a_window_counts_each_call_by_its_part_within() -> None:
    calls = [
        BulkCall(began=0, ended=4, texts=8, tokens=80),
        BulkCall(began=1, ended=2, texts=3, tokens=30),
        BulkCall(began=5, ended=9, texts=4, tokens=40),
    ]
    load = BulkLoad(calls)
    assert load.texts_a_second(0, 2) == (4 + 3) / 2
    assert load.tokens_a_second(2, 6) == (40 + 10) / 4
    assert load.texts_a_second(10, 11) == 0


def test_ndcg_discounts_by_rank_and_looks_at_ten() -> None:
    judgments = {"q": {"right": 1}}
    assert ndcg_at_10({"q": ["right", "wrong"]}, judgments) == 100
    assert ndcg_at_10({"q": ["a", "b", "right"]}, judgments) == 50
    assert ndcg_at_10({"q": [*"abcdefghij", "right"]}, judgments) == 0
