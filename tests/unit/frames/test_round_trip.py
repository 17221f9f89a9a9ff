"""Whatever a server can hold comes back from a table as it went in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate import Record, Timestamp
from vecgate.frames import Columns, records_from, to_arrow, to_pandas
from vecgate.results import StoredRecord
from vecgate.timestamps import FIRST_SECOND, LAST_SECOND

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
MOMENTS = st.builds(
    Timestamp,
    st.integers(FIRST_SECOND, LAST_SECOND) | st.integers(0, 2 * 10**9),
    st.integers(0, 10**9 - 1) | st.sampled_from([0, 5_000, 5_000_000]),
)
VALUES = st.one_of(
    WORDS,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    MOMENTS,
    st.lists(WORDS, max_size=3).map(tuple),
)
VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)
ONE_TYPE_A_FIELD = st.fixed_dictionaries(
    {},
    optional={
        "id": WORDS,
        "year": st.integers(-(2**63), 2**63 - 1),
        "price": st.floats(allow_nan=False, allow_infinity=False),
        "draft": st.booleans(),
        "at": MOMENTS,
        "tags": st.lists(WORDS, max_size=3).map(tuple),
    },
)
ANY_TYPE_IN_A_FIELD = st.dictionaries(st.sampled_from(["text", "a", "b", "ä ö"]), VALUES)


@st.composite
def stored_records(draw: st.DrawFn) -> list[StoredRecord]:
    metadata = draw(st.sampled_from([ONE_TYPE_A_FIELD, ANY_TYPE_IN_A_FIELD]))
    parts = st.tuples(st.none() | WORDS, st.none() | VECTORS, metadata)
    rows = draw(st.lists(parts.filter(lambda row: row[0] is not None or row[1] is not None), min_size=1, max_size=8))
    return [
        StoredRecord(f"id-{place}", text, fields, None if vector is None else np.array(vector, dtype=np.float32))
        for place, (text, vector, fields) in enumerate(rows)
    ]


def typed(value: Any) -> tuple[type, Any]:
    """Make 1, 1.0 and True three values, and a list of strings one whatever holds it."""
    return (tuple, tuple(value)) if isinstance(value, list | tuple) else (type(value), value)


def told(record: StoredRecord | Record) -> tuple[object, ...]:
    vector = None if record.vector is None else np.asarray(record.vector)
    numbers = None if vector is None else (vector.dtype, vector.tolist())
    return record.id, record.text, numbers, {name: typed(value) for name, value in record.metadata.items()}


def check(stored: Sequence[StoredRecord], frame: Any) -> None:
    assert list(map(told, records_from(frame, Columns(metadata_prefix="m:")))) == list(map(told, stored))


@settings(max_examples=100, deadline=None)
@given(stored_records())
def test_records_come_back_from_an_arrow_table(stored: list[StoredRecord]) -> None:
    table = to_arrow(stored, metadata_prefix="m:")
    check(stored, table)
    # Cut into batches, whose columns begin in the middle of their memory.
    check(stored, table.to_reader(max_chunksize=2))
    check(stored, table.to_batches(max_chunksize=3))


@settings(max_examples=100, deadline=None)
@given(stored_records())
def test_records_come_back_from_arrows_own_file_format(stored: list[StoredRecord]) -> None:
    table = to_arrow(stored, metadata_prefix="m:")
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    check(stored, pa.ipc.open_stream(file.getvalue()))


@settings(max_examples=100, deadline=None)
@given(stored_records())
def test_records_come_back_from_a_data_frame(stored: list[StoredRecord]) -> None:
    check(stored, to_pandas(stored, metadata_prefix="m:"))


def test_records_come_back_from_parquet(tmp_path: Any) -> None:
    import pyarrow.parquet as pq

    stored = [
        StoredRecord("a", "one", {"year": 1, "at": Timestamp(5, 7), "tags": ("x",)}, np.ones(2, np.float32)),
        StoredRecord("b", None, {"price": 0.5, "draft": False}, np.zeros(2, np.float32)),
    ]
    pq.write_table(to_arrow(stored, metadata_prefix="m:"), tmp_path / "records.parquet")
    check(stored, pq.read_table(tmp_path / "records.parquet"))
    check(stored, pq.ParquetFile(tmp_path / "records.parquet").iter_batches(1))


@pytest.mark.parametrize("make", [to_arrow, to_pandas])
def test_a_field_with_the_name_of_a_column_is_refused_without_a_prefix(make: Any) -> None:
    with pytest.raises(ValueError, match="field 'text' would be a second column 'text'; give another prefix"):
        make([StoredRecord("a", "one", {"text": "two"})])
