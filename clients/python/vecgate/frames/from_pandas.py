"""DataFrames → records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vecgate.errors import InvalidArgumentError
from vecgate.frames.columns import Columns, choose_columns
from vecgate.frames.records import optional_module, rows
from vecgate.records import Record
from vecgate.timestamps import Timestamp

ROWS_AT_ONCE = 10_000
"""Rows whose cells are made Python objects together."""


def pandas_rows(frame: Any, columns: Columns) -> Iterator[Record]:
    """Yield the rows of a DataFrame as records; see records_from."""
    pandas = optional_module("pandas")
    if not isinstance(frame, pandas.DataFrame):
        raise TypeError(f"expected a DataFrame, got {type(frame).__name__}")
    if columns.id not in frame.columns and columns.id in frame.index.names:
        frame = frame.reset_index(columns.id)
    names = list(frame.columns)
    if unnamed := [name for name in names if not isinstance(name, str)]:
        raise InvalidArgumentError.at("columns", f"the column name {unnamed[0]!r} is not a string")
    chosen = choose_columns(columns, names)
    for name in chosen.metadata:
        if isinstance(frame[name].dtype, np.dtype) and frame[name].dtype.kind == "M":
            raise InvalidArgumentError.at(
                f"column {name!r}", "times without a time zone; .dt.tz_localize('UTC') gives one"
            )

    def records() -> Iterator[Record]:
        for start in range(0, len(frame), ROWS_AT_ONCE):
            part = frame.iloc[start : start + ROWS_AT_ONCE]
            cells = {name: [_cell(pandas, cell) for cell in part[name].astype(object)] for name in chosen}
            yield from rows(cells, chosen)

    return records()


def _cell(pandas: Any, cell: Any) -> Any:
    """Return a cell as the client's own type, and what pandas takes for missing as None."""
    match cell:
        case None | str() | bool() | int():
            return cell
        case float():
            return None if cell != cell else cell  # noqa: PLR0124  # NaN alone is not itself
        case pandas.Timestamp():
            return cell if cell.tz is None else Timestamp.from_datetime(cell)
        case np.generic():
            return _cell(pandas, cell.item())
        case np.ndarray() if cell.dtype.kind in "OU":
            return cell.tolist()
        case _:
            return None if cell is pandas.NA or cell is pandas.NaT else cell
