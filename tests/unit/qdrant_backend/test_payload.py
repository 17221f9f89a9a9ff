"""Metadata as payloads: what goes in comes out, whatever JSON does to doubles, and the order of numbers is kept."""

from __future__ import annotations

import json

from emulators.qdrant_server import careless
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vecgate_backends.conformance.material import EXTREME_VALUES, typed
from vecgate_backends.qdrant.exact_numbers import order_key, survives
from vecgate_backends.qdrant.payload import decode_metadata, encode_metadata
from vecgate_backends.records import Metadata, MetadataValue, Timestamp

numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1).map(float),
)
values: st.SearchStrategy[MetadataValue] = st.one_of(
    st.text(),
    st.booleans(),
    numbers,
    st.lists(st.text()).map(tuple),
    st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999)),
    st.sampled_from(EXTREME_VALUES),
)
fields = st.text(min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(fields, values, max_size=8))
@example({"a:b": 1, "%22": "quote", '"': "the quote", "\\": True, "s:x": ("a",)})
def test_metadata_comes_back_with_every_type(metadata: Metadata) -> None:
    stored = json.loads(json.dumps(careless(encode_metadata(metadata))))
    assert typed(decode_metadata(stored)) == typed(metadata)


@given(numbers, numbers)
@example(2**53, 2**53 + 1)
@example(float(2**53), 2**53 + 1)
@example(2**63 - 1, float(2**63))
@example(-(2**63), -float(2**63))
@example(0.0, -0.0)
@example(-5e-324, 0)
def test_keys_are_ordered_as_the_numbers_are(one: float, two: float) -> None:
    assert (order_key(one) < order_key(two)) is (one < two)
    assert (order_key(one) == order_key(two)) is (one == two)


@given(numbers)
def test_a_key_is_made_of_integers_that_any_double_holds(number: float) -> None:
    assert all(0 <= half < 2**38 for half in order_key(number))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
@example(9007199254740991.0)
def test_a_number_that_survives_is_not_changed_by_a_careless_reader(number: float) -> None:
    if survives(number):
        assert repr(careless(number)) == repr(number)


def test_some_numbers_do_not_survive() -> None:
    assert [survives(number) for number in (1, 1.0, 0.1, -2.5, 19.99)] == [True] * 5
    assert [survives(number) for number in (2**53 + 1, 0.1 + 0.2, 1e300, 5e-324)] == [False] * 4
