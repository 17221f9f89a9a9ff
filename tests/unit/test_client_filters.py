"""Filters built in Python say on the wire what they say in Python."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import text_format

from vecgate import Filter, InvalidArgumentError, Timestamp, expression, field
from vecgate.v1 import filter_pb2
from vecgate.wire.filters import filter_message, selector_message

year = field("year")


def wire(text: str) -> filter_pb2.Filter:
    return text_format.Parse(text, filter_pb2.Filter())


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (year == 2000, 'condition { field: "year" eq { int_value: 2000 } }'),
        (year != 2000, 'negation { condition { field: "year" eq { int_value: 2000 } } }'),
        (year > 2000, 'condition { field: "year" gt { int_value: 2000 } }'),
        (year >= 2000.5, 'condition { field: "year" gte { double_value: 2000.5 } }'),
        (year < Timestamp(1, 2), 'condition { field: "year" lt { timestamp_value { seconds: 1 nanos: 2 } } }'),
        (
            year <= datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
            'condition { field: "year" lte { timestamp_value { seconds: 1 } } }',
        ),
        (year.isin([1, "a"]), 'condition { field: "year" in_list { values { int_value: 1 } values { string_value: "a" } } }'),
        (field("tags").contains("x"), 'condition { field: "tags" eq { string_value: "x" } }'),
        (field("a.b c").exists(), 'condition { field: "a.b c" exists: true }'),
        (year.exists(present=False), 'condition { field: "year" exists: false }'),
        (field("draft") == True, 'condition { field: "draft" eq { bool_value: true } }'),  # noqa: E712  # builds a filter
        (expression("year > 1"), 'expression: "year > 1"'),
        (
            ~(year == 1) | expression("a = 2"),
            'any_of { filters { negation { condition { field: "year" eq { int_value: 1 } } } } filters { expression: "a = 2" } }',
        ),
    ],
)  # fmt: skip
def test_a_filter_is_sent_as_it_reads(built: Filter, expected: str) -> None:
    assert filter_message(built) == wire(expected)


def test_a_string_is_sent_as_the_text_form() -> None:
    assert filter_message('section = "games"') == wire('expression: "section = \\"games\\""')


def test_joining_the_same_way_twice_makes_one_list() -> None:
    joined = filter_message((year > 1) & (year < 5) & (year != 3))
    assert len(joined.all_of.filters) == 3
    either = filter_message((year == 1) | (year == 2) | (year == 3))
    assert len(either.any_of.filters) == 3


@pytest.mark.parametrize("misuse", [lambda: year > 1 and year < 5, lambda: not (year > 1), lambda: 1 < year < 5])
def test_what_python_cannot_overload_is_refused(misuse: Any) -> None:
    with pytest.raises(TypeError, match="a filter has no truth value"):
        misuse()


@pytest.mark.parametrize("values", ["abc", []])
def test_isin_takes_a_sequence_of_at_least_one_value(values: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="at least one value"):
        year.isin(values)


def test_a_bad_operand_is_refused_with_its_path() -> None:
    bad: Any = {"a": 1}
    with pytest.raises(InvalidArgumentError) as refused:
        filter_message((year > 1) & (field("x") == bad))
    assert refused.value.violations[0].field == "filter.all_of.filters[1].condition.eq"


def test_what_is_no_filter_is_refused() -> None:
    bad: Any = {"year": 2000}
    with pytest.raises(InvalidArgumentError, match="expected a filter"):
        filter_message(bad)


@pytest.mark.parametrize(
    ("ids", "built", "everything"),
    [(None, None, False), (["a"], "x = 1", False), (["a"], None, True), (None, "x = 1", True)],
)
def test_a_selection_is_of_exactly_one_kind(ids: list[str] | None, built: str | None, everything: bool) -> None:
    with pytest.raises(InvalidArgumentError, match="exactly one of ids, filter and all=True"):
        selector_message(ids, built, everything)


def test_one_string_is_no_list_of_ids() -> None:
    with pytest.raises(InvalidArgumentError, match=r"write \['abc'\]"):
        selector_message("abc", None, False)
