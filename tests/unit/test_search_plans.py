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


def test_so_many_ways_of_asking_are_kept() -> None:
    plans = SearchPlans(LIMITS)
    with patch.object(search_plans, "search_plan", wraps=search_plan) as read:
        for threshold in [*range(KEPT), *range(KEPT)]:
            plans.of(search_pb2.SearchOptions(score_threshold=threshold))
        assert read.call_count == KEPT
        plans.of(search_pb2.SearchOptions(score_threshold=KEPT))
        plans.of(search_pb2.SearchOptions(score_threshold=0))
        assert read.call_count == KEPT + 2


def test_long_options_are_read_as_they_came() -> None:
    plans = SearchPlans(LIMITS)
    overhead = equals(Value(string_value="x" * 500)).ByteSize() - 500
    longest, longer = (equals(Value(string_value="x" * (LONGEST_BYTES - overhead + more))) for more in (0, 1))
    assert longest.ByteSize() == LONGEST_BYTES
    with patch.object(search_plans, "search_plan", wraps=search_plan) as read:
        for _ in range(2):
            plans.of(longest)
        assert read.call_count == 1
        for _ in range(2):
            plans.of(longer)
            # A copy of it would be made before a limit refuses it.
            assert read.call_args.args[0] is longer
        assert read.call_count == 3
