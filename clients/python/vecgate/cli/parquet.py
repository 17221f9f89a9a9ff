"""Parquet on the command line: pyarrow is an extra, loaded at its first use."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from vecgate.cli.faults import InputFault
from vecgate.cli.row_readers import Row
from vecgate.errors import InvalidArgumentError
from vecgate.timestamps import Timestamp

BATCH_ROWS = 1_024
"""Rows that are in memory at once."""
READ_BYTES = 2**20
"""Bytes that are read of a column at once."""

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Unit of an Arrow timestamp → its length."""


def load_pyarrow() -> Any:
    """Return the module pyarrow, with pyarrow.parquet loaded.

    Raises:
        InputFault: the extra is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra, needed for this format only
        import pyarrow.parquet  # noqa: PLC0415  # likewise
    except ModuleNotFoundError as missing:
        raise InputFault("Parquet needs pyarrow", "pip install 'vecgate[parquet]'") from missing
    return pa


def open_parquet(path: str) -> Any:
    """Return a pyarrow.parquet.ParquetFile.

    Raises:
        InputFault: it is none, or it was cut off.
        OSError: it cannot be read.
    """
    arrow = load_pyarrow()
    try:
        # By portions: without these a file, or a row group of any size, is read into memory whole.
        return arrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES)
    except arrow.ArrowException as error:
        raise InputFault(f"{path}: not a whole Parquet file: {error}") from error


def parquet_rows(path: str) -> Generator[Row]:
    """Yield the rows of a file, some in memory at a time, with what metadata can hold of their types.

    Timestamps keep their nanoseconds; one without a time zone is taken as UTC, and a date as its first moment. Lists of
    floating-point numbers are arrays.

    Raises:
        InputFault: the file is damaged, or a column holds what Python has no value for.
    """
    arrow = load_pyarrow()
    number = 0
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise InputFault(f"{path}: the column {repeated[0]!r} comes twice")
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                columns = [_values(arrow, path, name, batch.column(name)) for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield Row(number, dict(zip(names, values, strict=True)), part="row")
        except (arrow.ArrowException, OSError) as error:
            raise InputFault(f"{path}: damaged after row {number}: {error}") from error


def _values(arrow: Any, path: str, name: str, column: Any) -> list[Any]:
    kinds = arrow.types
    try:
        if kinds.is_timestamp(column.type):
            return _moments(column.cast(arrow.int64()), NANOSECONDS[column.type.unit])
        if kinds.is_date(column.type):
            return _moments(column.cast(arrow.timestamp("s")).cast(arrow.int64()), NANOSECONDS["s"])
        if _is_list(kinds, column.type) and kinds.is_floating(column.type.value_type):
            return [None if row.values is None else row.values.to_numpy(zero_copy_only=False) for row in column]
        return column.to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    except (ValueError, InvalidArgumentError) as error:
        raise InputFault(f"{path}: the column {name!r} of type {column.type} cannot be read: {error}") from error


def _is_list(kinds: Any, kind: Any) -> bool:
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _moments(numbers: Any, nanoseconds: int) -> list[Timestamp | None]:
    return [None if number is None else _moment(number * nanoseconds) for number in numbers.to_pylist()]


def _moment(nanoseconds: int) -> Timestamp:
    seconds, nanos = divmod(nanoseconds, 10**9)
    return Timestamp(seconds, nanos)
