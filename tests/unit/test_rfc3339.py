"""Timestamps as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.records import Timestamp
from vecgate_backends.rfc3339 import parse_timestamp, timestamp_text

FIRST, LAST = Timestamp(-62_135_596_800), Timestamp(253_402_300_799, 999_999_999)


@given(st.builds(Timestamp, st.integers(FIRST.seconds, LAST.seconds), st.integers(0, 999_999_999)))
def test_what_is_written_reads_back_equal(timestamp: Timestamp) -> None:
    assert parse_timestamp(timestamp_text(timestamp)) == timestamp


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("1970-01-01T00:00:00Z", Timestamp(0)),
        ("1970-01-01T00:00:00.5Z", Timestamp(0, 500_000_000)),
        ("1969-12-31T23:59:59.999999999Z", Timestamp(-1, 999_999_999)),
        ("1970-01-01T02:00:00+02:00", Timestamp(0)),
        ("1969-12-31T22:30:00-01:30", Timestamp(0)),
        ("2000-02-29T00:00:00Z", Timestamp(951_782_400)),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
    ],
)
def test_a_moment_is_read(text: str, timestamp: Timestamp) -> None:
    assert parse_timestamp(text) == timestamp


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        (Timestamp(0), "1970-01-01T00:00:00Z"),
        (Timestamp(0, 120_000_000), "1970-01-01T00:00:00.12Z"),
        (FIRST, "0001-01-01T00:00:00Z"),
    ],
)
def test_a_moment_is_written_without_idle_digits(timestamp: Timestamp, text: str) -> None:
    assert timestamp_text(timestamp) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-1-1T00:00:00Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00z ",
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:60Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+01:60",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"timestamp|there is no"):
        parse_timestamp(text)
