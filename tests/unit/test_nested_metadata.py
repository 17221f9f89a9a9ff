"""Metadata of frameworks goes to the wire and comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecgate import InvalidArgumentError, Timestamp
from vecgate.nested_metadata import NESTED, flat_metadata, nested_metadata
from vecgate.wire.values import metadata_from, metadata_messages

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
names = st.text(st.sampled_from("ab c"), min_size=1, max_size=3)
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def over_the_wire(metadata: dict[str, Any]) -> dict[str, Any]:
    return nested_metadata(metadata_from(metadata_messages(flat_metadata(metadata, "metadata"), "metadata")))


def kinds(value: object) -> object:
    """The types inside of a value, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {name: kinds(member) for name, member in value.items()}
    return [kinds(element) for element in value] if isinstance(value, list) else type(value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, nested, max_size=4))
def test_what_json_holds_comes_back_with_its_types(metadata: dict[str, Any]) -> None:
    expected = {name: value for name, value in metadata.items() if value is not None}
    read = over_the_wire(metadata)
    assert read == expected
    assert kinds(read) == kinds(expected)


def test_leaves_of_dictionaries_are_fields_too() -> None:
    metadata = {"a": {"b": 1, "c": {"d": "x", "e": None}, "f": ["y"], "g": [1]}, "h": [{"i": 2}], "j": 3}
    flat = flat_metadata(metadata, "metadata")
    assert {name: value for name, value in flat.items() if name != NESTED} == {
        "a.b": 1,
        "a.c.d": "x",
        "a.f": ["y"],
        "j": 3,
    }


def test_python_types_that_the_wire_has_no_word_for() -> None:
    moment = datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    read = over_the_wire(
        {"moment": moment, "nano": Timestamp(1, 1), "tuple": ("a",), "numpy": np.float32(0.5), "deep": [(1, "a")]}
    )
    assert read == {"moment": moment, "nano": Timestamp(1, 1), "tuple": ["a"], "numpy": 0.5, "deep": [[1, "a"]]}
    assert read["moment"].tzinfo is UTC


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"a": {"b": [1, object()]}}, 'metadata["a"]["b"][1]'),
        ({"a": [float("inf")]}, 'metadata["a"][0]'),
        ({"a": {"b": datetime(2024, 1, 1, tzinfo=UTC)}}, 'metadata["a"]["b"]'),
        ({"a": {1: 2}}, 'metadata["a"]'),
        ({1: 2}, "metadata"),
        ({NESTED: "{}"}, 'metadata["nested:json"]'),
        ({"a": {"b": 1}, "a.b": 2}, "metadata"),
        ({"a": {"b": {"c": 1}, "b.c": 2}}, "metadata"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(metadata: dict[Any, Any], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        flat_metadata(metadata, "metadata")
    assert raised.value.reason == "METADATA_VALUE"
    assert raised.value.violations[0].field == field
