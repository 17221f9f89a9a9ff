"""Rules of names, ids, sizes and vectors at their edges."""

from __future__ import annotations

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vecgate.v1.metadata_pb2 import StringList, Value
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate_backends.errors import DimensionMismatchError, InvalidArgumentError
from vecgate_backends.records import Metric
from vecgate_server.config_limits import LimitSettings
from vecgate_server.errors import LimitExceededError, NotFiniteError, ZeroVectorError
from vecgate_server.validate import argument_rules, metadata_rules
from vecgate_server.validate.vectors import MAX_LENGTH, read_vector, read_vectors


def packed(*components: float) -> Vector:
    return Vector(packed=np.array(components, "<f4").tobytes())


@pytest.mark.parametrize("identifier", ["a", "é" * 256, "😀" * 128, "a b", "\u200b", '"', "x" * 512])
def test_a_good_id_passes(identifier: str) -> None:
    assert argument_rules.record_id(identifier, "id") == identifier


@pytest.mark.parametrize("identifier", ["", "x" * 513, "é" * 257, "a\tb", "\x7f", "\x85", "\0"])
def test_a_bad_id_is_refused(identifier: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        argument_rules.record_id(identifier, "records[3].id")
    assert [violation.field for violation in refused.value.violations] == ["records[3].id"]


@given(st.text())
def test_an_id_passes_exactly_by_its_bytes_and_control_characters(identifier: str) -> None:
    size = len(identifier.encode())
    good = 1 <= size <= 512 and all(unicodedata.category(character) != "Cc" for character in identifier)
    try:
        argument_rules.record_id(identifier, "id")
    except InvalidArgumentError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("name", ["a", "9", "a-b", "a--b", "a" * 45])
def test_a_good_collection_name_passes(name: str) -> None:
    assert argument_rules.collection_name(name) == name


@pytest.mark.parametrize("name", ["", "-", "a-", "-a", "A", "a_b", "a" * 46, "a\n"])
def test_a_bad_collection_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        argument_rules.collection_name(name)


@pytest.mark.parametrize(
    ("name", "good"), [("", True), ("a b~", True), ("x" * 64, True), ("x" * 65, False), ("\n", False)]
)
def test_a_namespace_is_up_to_64_printable_characters(name: str, good: bool) -> None:
    if good:
        assert argument_rules.namespace(name) == name
    else:
        with pytest.raises(InvalidArgumentError):
            argument_rules.namespace(name)


@pytest.mark.parametrize("name", ["", "$a", "__a", 'a"b', "a\nb", "é" * 65])
def test_a_bad_metadata_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        metadata_rules.field_name(name, "field")


@pytest.mark.parametrize("name", ["a", "_a", "a$", "a.b c[0]", "é" * 64])
def test_a_good_metadata_name_passes(name: str) -> None:
    assert metadata_rules.field_name(name, "field") == name


def test_metadata_is_measured_in_bytes_of_names_and_values() -> None:
    fields = {"é": Value(string_value="ab"), "n": Value(int_value=1)}
    metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_bytes=13))
    with pytest.raises(LimitExceededError, match="13 or more bytes"):
        metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_bytes=12))
    with pytest.raises(LimitExceededError, match="2 fields"):
        metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_fields=1))


def test_text_may_hold_tabs_and_line_ends() -> None:
    metadata_rules.value(Value(string_value="a\tb\r\nc"), "value")


def test_a_text_is_measured_in_bytes() -> None:
    assert argument_rules.text("é" * 5, "text", 10)
    with pytest.raises(LimitExceededError, match="11 bytes"):
        argument_rules.text("é" * 5 + "e", "text", 10)


@pytest.mark.parametrize(("asked", "size"), [(None, 100), (0, 100), (7, 7), (5_000, 1_000)])
def test_a_page_size_is_coerced(asked: int | None, size: int) -> None:
    assert argument_rules.page_size(asked, 1_000) == size


def test_vectors_are_read_in_bulk_and_each_fault_stays_with_its_row() -> None:
    vectors = [
        packed(1, 2),
        packed(math.nan, 1),
        Vector(floats=FloatList(values=[3, 4])),
        packed(1),
        packed(0, 0),
        packed(-math.inf, 0),
        Vector(packed=b"123"),
        Vector(),
    ]
    paths = [f"records[{row}].vector" for row in range(len(vectors))]
    matrix, faults = read_vectors(vectors, paths, dimension=2, metric=Metric.COSINE)
    assert matrix.dtype == np.float32
    assert matrix.shape == (8, 2)
    assert matrix[[0, 2]].tolist() == [[1, 2], [3, 4]]
    assert [type(fault) for fault in faults] == [
        type(None),
        NotFiniteError,
        type(None),
        DimensionMismatchError,
        ZeroVectorError,
        NotFiniteError,
        DimensionMismatchError,
        InvalidArgumentError,
    ]
    for row, fault in enumerate(faults):
        if fault:
            assert fault.violations[0].field.startswith(paths[row])


@pytest.mark.parametrize("tiny_or_huge", [1e-45, 1e-30, 3e38])
def test_a_vector_whose_squares_leave_float32_still_has_a_direction(tiny_or_huge: float) -> None:
    row = read_vector(packed(tiny_or_huge, 0, tiny_or_huge), "v", dimension=3, metric=Metric.COSINE)
    assert row.any()


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
def test_a_vector_too_long_for_float32_scores_is_refused(metric: Metric) -> None:
    read_vector(packed(MAX_LENGTH * 0.999, 0), "v", dimension=2, metric=metric)
    with pytest.raises(LimitExceededError, match="overflow"):
        read_vector(packed(MAX_LENGTH * 1.001, 0), "v", dimension=2, metric=metric)
    assert read_vector(packed(0, 0), "v", dimension=2, metric=metric).tolist() == [[0, 0]]


@given(npst.arrays(np.float32, (3, 4), elements=st.floats(width=32)), st.sampled_from(Metric))
def test_reading_in_bulk_and_one_by_one_agree(
    rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], metric: Metric
) -> None:
    vectors = [packed(*row) for row in rows.tolist()]
    matrix, faults = read_vectors(vectors, ["v"] * 3, dimension=4, metric=metric)
    assert np.array_equal(matrix, rows, equal_nan=True)
    for vector, fault in zip(vectors, faults, strict=True):
        if fault is None:
            read_vector(vector, "v", dimension=4, metric=metric)
        else:
            with pytest.raises(type(fault)):
                read_vector(vector, "v", dimension=4, metric=metric)


def test_each_string_of_a_list_counts_even_if_it_is_empty() -> None:
    fields = {"t": Value(string_list_value=StringList(values=[""] * 12))}
    metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_bytes=13))
    with pytest.raises(LimitExceededError):
        metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_bytes=12))


def test_a_list_over_the_limit_is_refused_before_its_strings_are_read() -> None:
    fields = {"t": Value(string_list_value=StringList(values=["a control character: \0"] * 20))}
    with pytest.raises(LimitExceededError):
        metadata_rules.metadata(fields, "metadata", LimitSettings(max_metadata_bytes=19))
