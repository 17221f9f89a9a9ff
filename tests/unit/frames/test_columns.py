"""Tables → records and results → tables: columns, types, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vecgate import InvalidArgumentError, Match, Record, SearchResult, Timestamp, Timings
from vecgate.frames import Columns, records_from, to_arrow, to_pandas
from vecgate.results import StoredRecord

MOMENT = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)


def result(*matches: Match) -> SearchResult:
    return SearchResult(matches, None, None, None, Timings())


def test_a_data_frame_as_people_have_them() -> None:
    frame = pd.DataFrame(
        {
            "body": ["one", None],
            "year": pd.array([2024, None], dtype="Int64"),
            "price": [1.5, float("nan")],
            "at": pd.to_datetime(pd.Series(["2024-05-06T07:08:09.000010001Z", None])).array,
            "section": pd.Categorical(["games", None]),
            "tags": [["a", "b"], None],
            "draft": [True, False],
        },
        index=pd.Index([7, 8], name="id"),
    )
    assert list(records_from(frame, Columns(text="body"))) == [
        Record(
            "7",
            "one",
            None,
            {
                "year": 2024,
                "price": 1.5,
                "at": Timestamp(int(MOMENT.timestamp()), 10_001),
                "section": "games",
                "tags": ["a", "b"],
                "draft": True,
            },
        ),
        Record("8", None, None, {"draft": False}),
    ]


def test_vectors_of_a_data_frame_and_of_arrow_lists() -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "vector": [np.array([1, 2], np.float64), [3.0, 4.0]]})
    assert [np.asarray(record.vector).tolist() for record in records_from(frame)] == [[1, 2], [3, 4]]
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)):
        table = pa.table({"id": ["a", "b", "c"], "vector": pa.array([[1, 2], None, [3, 4]], kind)}).slice(1)
        vectors = [record.vector for record in records_from(table)]
        assert vectors[0] is None
        assert np.asarray(vectors[1]).tolist() == [3, 4]


def test_columns_are_chosen_and_renamed() -> None:
    table = pa.table({"key": [1], "title": ["one"], "a": [1], "b": ["x"], "c": [True]})
    (some,) = records_from(table, Columns(id="key", text="title", metadata=["a", "c"]))
    assert some == Record("1", "one", None, {"a": 1, "c": True})
    (renamed,) = records_from(table, Columns(id="key", text="title", metadata={"b": "beta"}))
    assert renamed.metadata == {"beta": "x"}


def test_anything_that_speaks_arrows_protocol_is_a_table() -> None:
    class Foreign:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"id": ["a"], "text": ["one"]}).__arrow_c_stream__(requested_schema)

    assert list(records_from(Foreign())) == [Record("a", "one")]
    batch = pa.record_batch({"id": ["a"], "text": pa.array(["one"]).dictionary_encode()})
    assert list(records_from(batch)) == list(records_from(iter([batch]))) == [Record("a", "one")]


def test_a_column_of_several_types_is_read_whichever_way_arrow_keeps_it() -> None:
    codes, children = pa.array([0, 1, 0, 1], pa.int8()), [pa.array([1, 0, 3, 0]), pa.array(["", "b", "", "d"])]
    sparse = pa.UnionArray.from_sparse(codes, children)
    dense = pa.UnionArray.from_dense(codes, pa.array([0, 1, 2, 3], pa.int32()), children)
    for column in (sparse, dense):
        table = pa.table({"id": ["a", "b", "c", "d"], "text": ["x"] * 4, "mixed": column})
        for part, values in ((table, [1, "b", 3, "d"]), (table.slice(1, 2), ["b", 3])):
            assert [record.metadata["mixed"] for record in records_from(part)] == values


def test_rows_are_read_as_they_are_asked_for() -> None:
    asked = []

    def batches() -> Any:
        for number in range(3):
            asked.append(number)
            yield pa.record_batch({"id": [str(number)], "text": ["one"]})

    records = records_from(batches())
    assert next(records).id == "0"
    assert asked == [0]


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame], ids=["arrow", "pandas"])
@pytest.mark.parametrize(
    ("data", "columns", "complaint"),
    [
        (
            {"key": ["a"], "text": ["x"]},
            Columns(),
            r"columns\.id: the table has no column 'id'; there are 'key', 'text'",
        ),
        ({"id": ["a"], "year": [1]}, Columns(), r"columns\.text: the table has no column 'text'"),
        ({"id": ["a"], "text": ["x"]}, Columns(text="body"), r"columns\.text: the table has no column 'body'"),
        ({"id": ["a"], "text": ["x"]}, Columns(vector="v"), r"columns\.vector: the table has no column 'v'"),
        ({"id": ["a"], "text": ["x"]}, Columns(metadata=["y"]), r"columns\.metadata: the table has no column 'y'"),
        ({"id": ["a"], "text": ["x"]}, Columns(metadata="y"), r"columns\.metadata: expected names of columns, got one"),
        (
            {"id": ["a"], "text": ["x"], "at": np.array(["2024-01-01"], "datetime64[ns]")},
            Columns(),
            r"column 'at': .*time.*zone",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_at_once(make: Any, data: Any, columns: Columns, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint):
        records_from(make(data), columns)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("text", pa.array([1])),
        ("id", pa.array([1.5])),
        ("vector", pa.array(["x"])),
        ("at", pa.array([date(2024, 1, 1)])),
        ("numbers", pa.array([[1, 2]])),
        ("nested", pa.array([{"a": 1}])),
    ],
)
def test_an_arrow_column_of_a_type_that_is_no_part_of_a_record_is_refused(name: str, cells: Any) -> None:
    columns = {"id": pa.array(["a"]), "text": pa.array(["x"]), name: cells}
    with pytest.raises(
        InvalidArgumentError, match=f"column '{name}': expected .*, this is {cells.type}".replace("[", r"\[")
    ):
        records_from(pa.table(columns))


@pytest.mark.parametrize("frame", ["text", [], {"id": ["a"]}, 7, [1, 2]])
def test_what_is_no_table_is_a_type_error(frame: Any) -> None:
    with pytest.raises(TypeError, match="expected a DataFrame or Arrow data"):
        records_from(frame)


def test_a_search_result_is_a_table_of_matches() -> None:
    found = result(
        Match("a", 0.5, "one", {"year": 2024}, np.ones(2, np.float32), 0.75), Match("b", 0.25, "two", {"tags": ("x",)})
    )
    table = to_arrow(found)
    assert table.schema.names == ["id", "score", "rerank_score", "text", "vector", "tags", "year"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 2)
    assert table.schema.field("score").type == pa.float32()
    assert table.to_pylist()[1] == {
        "id": "b",
        "score": 0.25,
        "rerank_score": None,
        "text": "two",
        "vector": None,
        "tags": ["x"],
        "year": None,
    }
    frame = to_pandas(found)
    assert list(frame.columns) == table.schema.names
    assert frame.dtypes.astype(str).to_dict() == {
        "id": "string",
        "score": "float32",
        "rerank_score": "float32",
        "text": "string",
        "vector": "object",
        "tags": "object",
        "year": "Int64",
    }
    assert frame["vector"][0].dtype == np.float32


def test_results_of_several_searches_tell_which_is_whose() -> None:
    several = [result(Match("a", 1.0), Match("b", 0.5)), result(), result(Match("a", 0.5))]
    assert to_arrow(several).to_pydict() == {"query": [0, 0, 2], "id": ["a", "b", "a"], "score": [1.0, 0.5, 0.5]}
    assert to_pandas(several)["query"].tolist() == [0, 0, 2]


def test_no_rows_make_an_empty_table() -> None:
    assert (to_arrow([]).schema.names, to_arrow([]).num_rows) == (["id"], 0)
    assert to_pandas(result()).shape == (0, 1)


@pytest.mark.parametrize("make", [to_arrow, to_pandas])
def test_rows_of_different_kinds_make_no_table(make: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="do not make one table"):
        make([StoredRecord("a"), Match("b", 1.0)])
    with pytest.raises(TypeError, match="got InvalidArgumentError"):
        make([InvalidArgumentError("a query that failed")])


def test_nothing_is_imported_before_it_is_needed() -> None:
    probe = (
        "import sys, vecgate, vecgate.frames; vecgate.Client; "
        "print(sorted({'pandas', 'pyarrow'} & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("package", "call"), [("pyarrow", "to_arrow([])"), ("pandas", "to_pandas([])")])
def test_a_package_that_is_missing_is_told_with_its_extra(package: str, call: str) -> None:
    probe = f"import sys; sys.modules['{package}'] = None; from vecgate.frames import *; {call}"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=60)
    assert (
        done.stderr.splitlines()[-1]
        == f"ModuleNotFoundError: {package} is needed for this; pip install 'vecgate[frames]'"
    )
