"""Arrow tables → records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from vecgate.errors import InvalidArgumentError
from vecgate.frames.columns import ChosenColumns, Columns, choose_columns
from vecgate.frames.records import optional_module, rows
from vecgate.records import Record
from vecgate.timestamps import Timestamp

UNITS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MOMENT_FIELDS = ("seconds", "nanos")
"""Fields of a struct that stands for a Timestamp, where no Arrow type holds the time."""


def arrow_rows(frame: Any, columns: Columns) -> Iterator[Record]:
    """Yield the rows of Arrow data as records; see records_from."""
    arrow = optional_module("pyarrow")
    schema, batches = _opened(arrow, frame)
    chosen = choose_columns(columns, schema.names)
    _check_types(arrow, schema, chosen)
    return _records(arrow, batches, chosen)


def _opened(arrow: Any, frame: Any) -> tuple[Any, Iterable[Any]]:
    """Return the schema and the record batches of whatever was handed in."""
    if isinstance(frame, arrow.RecordBatch):
        return frame.schema, [frame]
    if isinstance(frame, arrow.Table):
        return frame.schema, frame.to_batches()
    if isinstance(frame, arrow.RecordBatchReader):
        return frame.schema, frame
    if hasattr(frame, "__arrow_c_stream__"):
        reader = arrow.RecordBatchReader.from_stream(frame)
        return reader.schema, reader
    if isinstance(frame, Iterable) and not isinstance(frame, str | bytes | dict):
        batches = iter(frame)
        first = next(batches, None)
        if isinstance(first, arrow.RecordBatch):
            return first.schema, chain([first], batches)
    raise TypeError(f"expected a DataFrame or Arrow data with at least one record batch, got {type(frame).__name__}")


def _check_types(arrow: Any, schema: Any, chosen: ChosenColumns) -> None:
    """Refuse columns that cannot be what they were chosen for.

    Raises:
        InvalidArgumentError: at the first such column.
    """
    types = arrow.types
    string = (types.is_string, types.is_large_string, types.is_null)
    wanted: dict[str, tuple[Callable[[Any, Any], bool], str]] = dict.fromkeys(
        chosen.metadata, (_metadata_fits, "strings, numbers, bools, times with a zone or lists of strings")
    )
    wanted[chosen.id] = (lambda _, kind: _any(kind, (*string, types.is_integer)), "strings or whole numbers")
    if chosen.text is not None:
        wanted[chosen.text] = (lambda _, kind: _any(kind, string), "strings")
    if chosen.vector is not None:
        wanted[chosen.vector] = (_vector_fits, "lists of numbers")
    for name, (fits, words) in wanted.items():
        kind = schema.field(name).type
        if not fits(types, kind.value_type if types.is_dictionary(kind) else kind):
            raise InvalidArgumentError.at(f"column {name!r}", f"expected {words}, this is {kind}")


def _any(kind: Any, predicates: Iterable[Any]) -> bool:
    return any(predicate(kind) for predicate in predicates)


def _is_list(types: Any, kind: Any) -> bool:
    return _any(kind, (types.is_list, types.is_large_list, types.is_fixed_size_list))


def _metadata_fits(types: Any, kind: Any) -> bool:
    if types.is_timestamp(kind):
        return kind.tz is not None
    if _is_list(types, kind):
        return _any(kind.value_type, (types.is_string, types.is_large_string, types.is_null))
    if types.is_union(kind):
        return all(_metadata_fits(types, kind.field(index).type) for index in range(kind.num_fields))
    plain = (
        types.is_string,
        types.is_large_string,
        types.is_null,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
    )
    return _any(kind, plain) or _is_moment(types, kind)


def _is_moment(types: Any, kind: Any) -> bool:
    return types.is_struct(kind) and tuple(part.name for part in kind) == MOMENT_FIELDS


def _vector_fits(types: Any, kind: Any) -> bool:
    if types.is_null(kind):
        return True
    return _is_list(types, kind) and _any(kind.value_type, (types.is_floating, types.is_integer))


def _records(arrow: Any, batches: Iterable[Any], chosen: ChosenColumns) -> Iterator[Record]:
    for batch in batches:
        cells = {name: _cells(arrow, batch.column(name)) for name in chosen if name != chosen.vector}
        if chosen.vector is not None:
            cells[chosen.vector] = _vectors(arrow, batch.column(chosen.vector))
        yield from rows(cells, chosen)


def _cells(arrow: Any, column: Any) -> Iterable[Any]:
    """Return the cells as the client's own types, a null as None."""
    types, kind = arrow.types, column.type
    if types.is_dictionary(kind):
        return _cells(arrow, column.dictionary_decode())
    if types.is_timestamp(kind):
        scale = UNITS_A_SECOND[kind.unit]
        counts = column.cast(arrow.int64()).to_pylist()
        return [None if count is None else _moment(count, scale) for count in counts]
    if types.is_union(kind):
        return _union_cells(arrow, column)
    if _is_moment(types, kind):
        return [None if cell is None else Timestamp(cell["seconds"], cell["nanos"]) for cell in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types


def _union_cells(arrow: Any, column: Any) -> Iterable[Any]:
    """Return the cells of a union. Its type codes are read from memory: pyarrow's type_codes forgets where a slice begins."""
    kind, part = column.type, slice(column.offset, column.offset + len(column))
    buffers = column.buffers()
    codes = np.frombuffer(buffers[1], np.int8)[part].tolist()
    places = range(len(column)) if kind.mode == "sparse" else np.frombuffer(buffers[2], np.int32)[part].tolist()
    children = {code: list(_cells(arrow, column.field(index))) for index, code in enumerate(kind.type_codes)}
    return [children[code][place] for code, place in zip(codes, places, strict=True)]


def _moment(count: int, scale: int) -> Timestamp:
    seconds, part = divmod(count, scale)
    return Timestamp(seconds, part * (10**9 // scale))


def _vectors(arrow: Any, column: Any) -> Iterable[Any]:
    """Yield vectors as NumPy rows that share the column's memory where they can, and None for nulls."""
    types, kind = arrow.types, column.type
    if types.is_null(kind):
        return [None] * len(column)
    if types.is_fixed_size_list(kind):
        starts = (np.arange(len(column) + 1) + column.offset) * kind.list_size
    else:
        starts = column.offsets.to_numpy()
    numbers = column.values.to_numpy(zero_copy_only=False)
    there = column.is_valid().to_pylist()
    return (numbers[start:end] if valid else None for start, end, valid in zip(starts, starts[1:], there, strict=False))
