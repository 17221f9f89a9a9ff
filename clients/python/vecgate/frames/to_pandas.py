"""Records and matches → a DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vecgate.frames.cells import Kind, Rows, cells_of, kind_of, microseconds, nanoseconds
from vecgate.frames.records import optional_module

if TYPE_CHECKING:
    import pandas as pd

NOT_A_TIME = np.iinfo(np.int64).min
"""How NumPy writes a missing time."""


def to_pandas(rows: Rows, *, metadata_prefix: str = "") -> pd.DataFrame:
    """Make a DataFrame of records, of matches, or of the results of several searches.

    The columns are those of to_arrow(). Integers are int64, or Int64 where some are missing; bools likewise; times are datetime64 in
    UTC; vectors are float32 arrays, lists of strings are tuples, and a field whose values differ in type keeps each as it is.

    Args:
        rows: what get(), list(), search() or search_batch().results() gave.
        metadata_prefix: put before the names of metadata fields, so that none is taken for another column.

    Raises:
        InvalidArgumentError: a metadata field has the name of another column.
        ModuleNotFoundError: pandas is not installed.
        TypeError: `rows` holds something else.
    """
    pandas = optional_module("pandas")
    cells = cells_of(rows)
    own: dict[str, Callable[[Sequence[Any]], Any]] = {
        "query": lambda column: pandas.Series(column, dtype="int64"),
        "id": lambda column: pandas.Series(column, dtype="string"),
        "score": lambda column: pandas.Series(column, dtype="float32"),
        "rerank_score": lambda column: pandas.Series(column, dtype="float32"),
        "text": lambda column: pandas.Series(column, dtype="string"),
        "vector": lambda column: _objects(pandas, column),
    }
    metadata = {metadata_prefix + name for name in cells.metadata}
    frame: pd.DataFrame = pandas.DataFrame(
        {
            name: _metadata(pandas, column) if name in metadata else own[name](column)
            for name, column in cells.columns(metadata_prefix).items()
        }
    )
    return frame


def _metadata(pandas: Any, column: Sequence[Any]) -> Any:
    kind = kind_of(column)
    missing = any(cell is None for cell in column)
    match kind:
        case Kind.STRING:
            return pandas.Series(column, dtype="string")
        case Kind.INTEGER:
            return pandas.Series(column, dtype="Int64" if missing else "int64")
        case Kind.BOOL:
            return pandas.Series(column, dtype="boolean" if missing else "bool")
        case Kind.FLOAT:
            return pandas.Series(column, dtype="float64")
        case Kind.NANOSECONDS:
            return _times(pandas, column, "ns", nanoseconds)
        case Kind.MICROSECONDS:
            return _times(pandas, column, "us", microseconds)
        case _:
            return _objects(pandas, column)


def _times(pandas: Any, column: Sequence[Any], unit: str, count: Callable[[Any], int]) -> Any:
    counts = np.array([NOT_A_TIME if cell is None else count(cell) for cell in column], dtype=np.int64)
    return pandas.Series(pandas.DatetimeIndex(counts.view(f"datetime64[{unit}]")).tz_localize("UTC"))


def _objects(pandas: Any, column: Sequence[Any]) -> Any:
    """Keep each cell as it is; NumPy would make a matrix of arrays of equal length."""
    cells = np.empty(len(column), dtype=object)
    for place, cell in enumerate(column):
        cells[place] = cell
    return pandas.Series(cells, dtype=object)
