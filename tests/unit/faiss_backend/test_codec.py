"""What is written into SQLite comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecgate_backends.conformance.strategies import metadata
from vecgate_backends.faiss.codec import (
    decode_metadata_of,
    decode_spec,
    decode_vector,
    encode_metadata,
    encode_spec,
    encode_vector,
)
from vecgate_backends.records import (
    CollectionSpec,
    FlatIndex,
    FloatVector,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metadata,
    MetadataValue,
    Metric,
    ModelBinding,
    Quantization,
    Timestamp,
)

any_value = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999)),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
)


@given(st.lists(metadata | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), any_value)))
def test_metadata_comes_back_with_the_type_of_every_value(stored: list[Metadata]) -> None:
    read = decode_metadata_of([encode_metadata(own).encode() for own in stored])
    assert [typed(own) for own in read] == [typed(own) for own in stored]


@pytest.mark.parametrize("value", [1, 1.0, True, "1", -0.0, 2**53 + 1, Timestamp(1, 1), (), ("a", "a")], ids=repr)
def test_values_that_python_calls_equal_stay_apart(value: MetadataValue) -> None:
    (read,) = decode_metadata_of([encode_metadata({"f": value}).encode()])
    assert repr(read["f"]) == repr(value)


def typed(metadata_of_one: Metadata) -> dict[str, tuple[type, str]]:
    return {field: (type(value), repr(value)) for field, value in metadata_of_one.items()}


@pytest.mark.parametrize(
    "index",
    [
        None,
        FlatIndex(),
        HnswIndex(8, 40, 100),
        HnswIndex(8, 40, 100, Quantization.SCALAR8),
        IvfIndex(),
        IvfIndex(300, 20),
    ],
)
@pytest.mark.parametrize("model", [None, ModelBinding("m", "sha256:00", "query: ")])
@pytest.mark.parametrize("metric", Metric)
def test_settings_of_a_collection_come_back(
    index: IndexConfig | None, model: ModelBinding | None, metric: Metric
) -> None:
    spec = CollectionSpec("notes", 384, metric, model, index, Timestamp(1_700_000_000, 5))
    assert decode_spec(encode_spec(spec)) == spec


@given(arrays(np.float32, 7, elements=st.floats(width=32, allow_nan=False)))
def test_vectors_come_back_bit_by_bit(vector: FloatVector) -> None:
    assert decode_vector(encode_vector(vector)).tobytes() == vector.tobytes()
