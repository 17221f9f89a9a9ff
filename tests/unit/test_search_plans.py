"""The options of a search are read once as long as they are asked again, and mean what they say."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from vecgate.v1 import filter_pb2, search_pb2
from vecgate.v1.metadata_pb2 import Value
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.filters import Eq
from vecgate_server.config_limits import LimitSettings
from vecgate_server.service import search_plans
from vecgate_server.service.search_plans import KEPT, LONGEST_BYTES, SearchPlans
from vecgate_server.translate.search import search_plan

LIMITS = LimitSettings(max_top_k=100)


def equals(value: Value) -> search_pb2.SearchOptions:
    return search_pb2.SearchOptions(filter=filter_pb2.Filter(condition=filter_pb2.Condition(field="a", eq=value)))


def test_what_is_asked_again_is_read_once() -> None:
    plans = SearchPlans(LIMITS)
    with patch.object(search_plans, "search_plan", wraps=search_plan) as read:
        first = plans.of(search_pb2.SearchOptions(top_k=3, explain=True))
        again = plans.of(search_pb2.SearchOptions(top_k=3, explain=True))
    assert read.call_count == 1
    assert again == first == search_plan(search_pb2.SearchOptions(top_k=3, explain=True), "options", LIMITS)


def test_what_python_takes_for_equal_is_told_apart() -> None:
    plans = SearchPlans(LIMITS)
    found = [
        plans.of(equals(value)).options.filter
        for value in (Value(int_value=1), Value(bool_value=True), Value(double_value=1.0))
    ]
    assert [repr(node) for node in found] == [repr(Eq("a", value)) for value in (1, True, 1.0)]


def test_a_field_that_is_not_set_is_not_one_that_is_zero() -> None:
    plans = SearchPlans(LIMITS)
    assert plans.of(search_pb2.SearchOptions()).options.score_threshold is None
    assert plans.of(search_pb2.SearchOptions(score_threshold=0)).options.score_threshold == 0


def test_what_is_refused_is_refused_every_time() -> None:
    plans = SearchPlans(LIMITS)
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match=r"options\.top_k"):
            plans.of(search_pb2.SearchOptions(top_k=101))


def test_long_options_and_many_of_them_are_not_kept() -> None:
    plans = SearchPlans(LIMITS)
    long = equals(Value(string_value="x" * LONGEST_BYTES))
    usual = search_pb2.SearchOptions(top_k=1)
    with patch.object(search_plans, "search_plan", wraps=search_plan) as read:
        plans.of(long)
        plans.of(long)
        assert read.call_count == 2
        for token in range(KEPT):
            plans.of(search_pb2.SearchOptions(score_threshold=token))
            plans.of(usual)
        assert read.call_count == 2 + KEPT + 1
        plans.of(search_pb2.SearchOptions(score_threshold=0))
        assert read.call_count == 2 + KEPT + 2
