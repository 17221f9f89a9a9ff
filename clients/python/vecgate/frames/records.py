"""A table → records, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from vecgate.frames.columns import ChosenColumns, Columns
from vecgate.records import Record

EXTRA = "pip install 'vecgate[frames]'"


def optional_module(name: str) -> Any:
    """Import pandas or pyarrow.

    Raises:
        ModuleNotFoundError: it is not installed; the message says which extra brings it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(f"{name} is needed for this; {EXTRA}", name=missing.name) from missing


def records_from(frame: Any, columns: Columns | None = None) -> Iterator[Record]:
    """Yield the rows of a table as records, for upsert() or upsert_many().

    Columns are checked when this is called, rows are made as they are asked for. A null (in pandas also NaN, NaT) is a part that the
    record does not have. A pandas column of integers with gaps holds floats, unless its type is Int64.

    Args:
        frame: a pandas DataFrame; a pyarrow Table, RecordBatch or RecordBatchReader; an iterable of RecordBatches of one
            schema; or anything else with __arrow_c_stream__, such as a Polars DataFrame.
        columns: which column is what; None: id, text and vector by these names, everything else as metadata.

    Raises:
        InvalidArgumentError: a column is missing, or of a type that its part of a record cannot have, such as times without a time zone.
        ModuleNotFoundError: pandas or pyarrow is not installed.
        TypeError: `frame` is no table.
    """
    chosen = columns or Columns()
    if type(frame).__module__.partition(".")[0] == "pandas":
        from vecgate.frames.from_pandas import pandas_rows  # noqa: PLC0415  # pandas is optional

        return pandas_rows(frame, chosen)
    from vecgate.frames.from_arrow import arrow_rows  # noqa: PLC0415  # pyarrow is optional

    return arrow_rows(frame, chosen)


def rows(columns: Mapping[str, Iterable[Any]], chosen: ChosenColumns) -> Iterator[Record]:
    """Put the cells of columns together to records; None is nothing.

    Args:
        columns: the cells by column, of equal length; those that no column was chosen for are not looked at.
        chosen: which column is what.
    """
    cells = [columns[name] for name in chosen]
    fields = tuple(chosen.metadata.values())
    with_text, with_vector = chosen.text is not None, chosen.vector is not None
    first = 1 + with_text + with_vector
    for row in zip(*cells, strict=True):
        yield Record(
            id=_id(row[0]),
            text=row[1] if with_text else None,
            vector=row[first - 1] if with_vector else None,
            metadata=_metadata(fields, row[first:]),
        )


def _metadata(fields: Sequence[str], cells: Sequence[Any]) -> dict[str, Any]:
    return {name: cell for name, cell in zip(fields, cells, strict=True) if cell is not None}


def _id(cell: Any) -> Any:
    """Return an id; what is neither a string nor a whole number is left for the record's own check, which names its place."""
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell
