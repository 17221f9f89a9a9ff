"""What goes onto the wire comes back with its type and its value, and what cannot go is refused with its path."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecgate import InvalidArgumentError, OutdatedClientError, Record, Timestamp
from vecgate.records import MetadataValue
from vecgate.timestamps import FIRST_SECOND, LAST_SECOND
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate.wire.records import as_record, fields_message, record_from, record_message
from vecgate.wire.values import metadata_from, metadata_messages, value_from, value_message, vector_from, vector_message

# A day's distance from the ends of what a datetime can hold, so that every zone fits.
EARLY = datetime(1, 1, 2)  # noqa: DTZ001  # the zone comes later
LATE = datetime(9999, 12, 30)  # noqa: DTZ001  # likewise
timestamps = st.builds(Timestamp, st.integers(FIRST_SECOND, LAST_SECOND), st.integers(0, 10**9 - 1))
values = st.one_of(
    st.text(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    timestamps,
    st.lists(st.text(), max_size=4).map(tuple),
)
vectors = arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=False))


@given(st.dictionaries(st.text(min_size=1), values, max_size=6))
def test_metadata_comes_back_with_its_types(metadata: dict[str, MetadataValue]) -> None:
    returned = metadata_from(metadata_messages(metadata, "metadata"))
    assert returned == metadata
    assert {name: type(value) for name, value in returned.items()} == {
        name: type(value) for name, value in metadata.items()
    }


@given(vectors)
def test_vectors_come_back_bit_for_bit(vector: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    returned = vector_from(vector_message(vector, "vector"))
    assert returned.dtype == np.float32
    assert returned.tobytes() == vector.tobytes()


def test_a_vector_spelled_out_reads_as_the_packed_one() -> None:
    spelled = vector_from(Vector(floats=FloatList(values=[1.5, -2.0])))
    assert spelled.dtype == np.float32
    assert spelled.tolist() == [1.5, -2.0]


@given(timestamps)
def test_a_timestamp_as_a_datetime_loses_only_what_lies_below_a_microsecond(moment: Timestamp) -> None:
    returned = Timestamp.from_datetime(moment.to_datetime())
    assert returned == Timestamp(moment.seconds, moment.nanos // 1000 * 1000)


@given(st.datetimes(EARLY, LATE), st.integers(-23 * 60, 23 * 60))
def test_a_datetime_of_any_zone_names_the_same_moment(naive: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    aware = naive.replace(tzinfo=zone)
    assert Timestamp.from_datetime(aware).to_datetime() == aware.astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (Timestamp(0), "1970-01-01T00:00:00Z"),
        (Timestamp(-1, 500_000_000), "1969-12-31T23:59:59.5Z"),
        (Timestamp(1577934245, 6), "2020-01-02T03:04:05.000000006Z"),
        (Timestamp(LAST_SECOND, 999_999_999), "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_timestamp_reads_as_rfc_3339(moment: Timestamp, text: str) -> None:
    assert str(moment) == text


@pytest.mark.parametrize("parts", [(LAST_SECOND + 1, 0), (FIRST_SECOND - 1, 0), (0, -1), (0, 10**9)])
def test_a_timestamp_outside_of_its_range_is_refused(parts: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgumentError):
        Timestamp(*parts)


def test_a_none_value_is_dropped() -> None:
    assert metadata_messages({"kept": "", "dropped": None}, "metadata").keys() == {"kept"}


@pytest.mark.parametrize(
    ("scalar", "plain"), [(np.int32(7), 7), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.str_("x"), "x")]
)
def test_a_numpy_scalar_is_stored_as_the_python_value(scalar: np.generic, plain: MetadataValue) -> None:
    returned = value_from(value_message(scalar, "x"))
    assert (returned, type(returned)) == (plain, type(plain))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime(2024, 1, 1), "no time zone"),  # noqa: DTZ001  # naive on purpose
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        ({"nested": 1}, "dict cannot be stored"),
        (b"bytes", "bytes cannot be stored"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_a_metadata_value_the_wire_cannot_carry_is_refused_with_its_path(value: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words) as refused:
        metadata_messages({"year": value}, "records[3].metadata")
    assert refused.value.reason == "METADATA_VALUE"
    assert [violation.field for violation in refused.value.violations] == ['records[3].metadata["year"]']


def test_a_list_that_holds_something_else_than_strings_names_the_element() -> None:
    with pytest.raises(InvalidArgumentError, match=r'metadata\["tags"\]\[1\]: lists hold strings only'):
        metadata_messages({"tags": ["a", 1]}, "metadata")  # type: ignore[list-item]  # the wrong type on purpose


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ([[1.0, 2.0]], "shape"),
        ([], "shape"),
        (3.0, "shape"),
        (["a"], "real numbers"),
        ([1j], "real numbers"),
        ([True], "real numbers"),
        ([[1.0], [1.0, 2.0]], "not a vector"),
    ],
)
def test_what_is_no_vector_is_refused_with_its_path(vector: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^query.vector: .*{words}"):
        vector_message(vector, "query.vector")


def test_a_double_beyond_float32_becomes_infinite_for_the_server_to_refuse() -> None:
    assert vector_from(vector_message([1e300], "vector")).tolist() == [float("inf")]


@given(st.text(min_size=1), st.none() | st.text(), st.none() | vectors)
def test_a_record_comes_back_whole(
    id_: str, text: str | None, vector: np.ndarray[Any, np.dtype[np.float32]] | None
) -> None:
    record = Record(id_, text, vector, {"year": 2024})
    returned = record_from(record_message(record, "records[0]"))
    assert (returned.id, returned.text, returned.metadata) == (id_, text, {"year": 2024})
    if vector is None:
        assert returned.vector is None
    else:
        assert returned.vector is not None
        assert returned.vector.tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"id": "a", "txet": "b"}, "unknown key 'txet'"),
        ({"text": "b"}, "id: missing"),
        ({"id": 7}, "an id is a string, this is int"),
        ({"id": "a", "text": 7}, "text is a string, this is int"),
        ({"id": "a", "metadata": []}, "expected a mapping, got list"),
        ({"id": "\ud800"}, "lone surrogate"),
    ],
)
def test_a_mapping_that_is_no_record_is_refused_with_its_path(item: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message) as refused:
        record_message(as_record(item, "records[2]"), "records[2]")
    assert refused.value.violations[0].field.startswith("records[2]")


def test_a_value_of_a_newer_server_says_that_the_client_is_old() -> None:
    with pytest.raises(OutdatedClientError, match="CLIENT_OUTDATED"):
        value_from(Value())


@pytest.mark.parametrize(
    "moment", ["2020-01-02", "2020-01-02T03:04:05", "2020-13-02T03:04:05Z", "0001-01-01T00:00:00+01:00"]
)
def test_what_is_no_rfc_3339_is_refused(moment: str) -> None:
    with pytest.raises(InvalidArgumentError, match="timestamp"):
        Timestamp.from_rfc3339(moment)


@given(timestamps)
def test_a_timestamp_comes_back_from_its_text(moment: Timestamp) -> None:
    assert Timestamp.from_rfc3339(str(moment)) == moment


@pytest.mark.parametrize("names", ["year", []])
def test_metadata_fields_to_return_are_a_sequence_of_names(names: Any) -> None:
    from vecgate import Fields

    with pytest.raises(InvalidArgumentError, match="at least one field name"):
        fields_message(Fields(metadata=names))
