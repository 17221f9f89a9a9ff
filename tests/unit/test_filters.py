"""What a filter means: the reference that every index of every backend agrees with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.conformance.filters import MEANINGS, VALUES
from vecgate_backends.conformance.strategies import ORDERED, conditions, filters, metadata, scalars, values
from vecgate_backends.filters import (
    And,
    Compare,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Order,
    Ordered,
    Scalar,
    comparable,
    matches,
    value_key,
    value_keys,
)
from vecgate_backends.records import Metadata, MetadataValue, Timestamp


@pytest.mark.parametrize(("node", "expected"), MEANINGS, ids=[str(number) for number in range(len(MEANINGS))])
def test_a_filter_matches_what_the_table_written_by_hand_says(node: Filter, expected: set[str]) -> None:
    rows: dict[str, Metadata] = {name: {} if value is None else {"f": value} for name, value in VALUES.items()}
    assert {name for name, row in rows.items() if matches(node, row)} == expected


@given(filters(depth=3), metadata)
def test_not_is_plain_negation(node: Filter, record: Metadata) -> None:
    assert matches(Not(node), record) is not matches(node, record)


@given(st.lists(filters(depth=2), min_size=1, max_size=3).map(tuple), metadata)
def test_and_and_or_keep_de_morgans_laws(children: tuple[Filter, ...], record: Metadata) -> None:
    negated = tuple(Not(child) for child in children)
    assert matches(Not(And(children)), record) is matches(Or(negated), record)
    assert matches(Not(Or(children)), record) is matches(And(negated), record)


@given(st.lists(scalars, min_size=1, max_size=4).map(tuple), metadata)
def test_in_is_or_over_eq(operands: tuple[Scalar, ...], record: Metadata) -> None:
    alternatives = Or(tuple(Eq("f", operand) for operand in operands))
    assert matches(In("f", operands), record) is matches(alternatives, record)


@given(conditions)
def test_a_condition_on_a_missing_field_is_false(node: Filter) -> None:
    assert matches(node, {}) is (isinstance(node, Exists) and not node.present)


@given(values, st.sampled_from(ORDERED))
def test_of_less_equal_and_greater_one_holds_for_comparable_values_and_none_for_others(
    stored: MetadataValue, operand: Ordered
) -> None:
    tests: list[Filter] = [Compare("f", Order.LT, operand), Eq("f", operand), Compare("f", Order.GT, operand)]
    assert sum(matches(test, {"f": stored}) for test in tests) == int(comparable(stored, operand))
    at_least = matches(Compare("f", Order.GTE, operand), {"f": stored})
    at_most = matches(Compare("f", Order.LTE, operand), {"f": stored})
    assert at_least is any(matches(test, {"f": stored}) for test in tests[1:])
    assert at_most is any(matches(test, {"f": stored}) for test in tests[:2])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (2**53, 2**53 + 1, False),
        (float(2**53), 2**53 + 1, False),
        (5, Timestamp(5), False),
        (Timestamp(5), Timestamp(5, 1), False),
        ("é", "e\u0301", False),
    ],
)
def test_keys_are_equal_for_equal_values_only(one: Scalar, other: Scalar, same: bool) -> None:
    assert (value_key(one) == value_key(other)) is same
    assert len({value_key(one), value_key(other)}) == (1 if same else 2)


def test_a_list_is_found_under_each_of_its_strings() -> None:
    assert set(value_keys(("a", "b", "a"))) == {value_key("a"), value_key("b")}
    assert list(value_keys(())) == []
    assert list(value_keys(3)) == [value_key(3)]
