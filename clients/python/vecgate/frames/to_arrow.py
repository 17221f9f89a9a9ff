"""Records and matches → an Arrow table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vecgate.frames.cells import Kind, Rows, cells_of, kind_of, microseconds, nanoseconds, one_width
from vecgate.frames.records import optional_module

if TYPE_CHECKING:
    import pyarrow as pa


def to_arrow(rows: Rows, *, metadata_prefix: str = "") -> pa.Table:
    """Make an Arrow table of records, of matches, or of the results of several searches.

    Columns are `id`, then, where any row has them, `score`, `rerank_score`, `text`, `vector` (a list of fixed size of float32) and the
    metadata fields by name; of several results `query`, the place of each among them, comes first. Times are timestamps in UTC. A
    field whose values differ in type is a dense union, which Arrow's IPC format keeps and Parquet does not.

    Args:
        rows: what get(), list(), search() or search_batch().results() gave.
        metadata_prefix: put before the names of metadata fields, so that none is taken for another column.

    Raises:
        InvalidArgumentError: a metadata field has the name of another column.
        ModuleNotFoundError: pyarrow is not installed.
        TypeError: `rows` holds something else.
    """
    arrow = optional_module("pyarrow")
    cells = cells_of(rows)
    own: dict[str, Callable[[Sequence[Any]], Any]] = {
        "query": lambda column: arrow.array(column, arrow.int64()),
        "id": lambda column: arrow.array(column, arrow.string()),
        "score": lambda column: arrow.array(column, arrow.float32()),
        "rerank_score": lambda column: arrow.array(column, arrow.float32()),
        "text": lambda column: arrow.array(column, arrow.string()),
        "vector": lambda column: _vectors(arrow, column),
    }
    metadata = {metadata_prefix + name for name in cells.metadata}
    return arrow.table(
        {
            name: _metadata(arrow, column) if name in metadata else own[name](column)
            for name, column in cells.columns(metadata_prefix).items()
        }
    )


def _vectors(arrow: Any, vectors: Sequence[Any]) -> Any:
    width = one_width(vectors)
    if width is None:
        return arrow.array(vectors, arrow.list_(arrow.float32()))
    nothing = np.zeros(width, np.float32)
    flat = np.concatenate([nothing if vector is None else vector for vector in vectors])
    missing = arrow.array([vector is None for vector in vectors])
    return arrow.FixedSizeListArray.from_arrays(arrow.array(flat), width, mask=missing)


def _metadata(arrow: Any, column: Sequence[Any]) -> Any:
    kind = kind_of(column)
    return _mixed(arrow, column) if kind is Kind.MIXED else _plain(arrow, column, kind)


def _plain(arrow: Any, column: Sequence[Any], kind: Kind) -> Any:
    kinds: dict[Kind, tuple[Any, Callable[[Any], Any]]] = {
        Kind.STRING: (arrow.string(), str),
        Kind.INTEGER: (arrow.int64(), int),
        Kind.FLOAT: (arrow.float64(), float),
        Kind.BOOL: (arrow.bool_(), bool),
        Kind.STRINGS: (arrow.list_(arrow.string()), list),
        Kind.NANOSECONDS: (arrow.timestamp("ns", tz="UTC"), nanoseconds),
        Kind.MICROSECONDS: (arrow.timestamp("us", tz="UTC"), microseconds),
        Kind.MOMENT: (
            arrow.struct([("seconds", arrow.int64()), ("nanos", arrow.int32())]),
            lambda moment: {"seconds": moment.seconds, "nanos": moment.nanos},
        ),
    }
    column_type, convert = kinds[kind]
    return arrow.array([None if cell is None else convert(cell) for cell in column], column_type)


def _mixed(arrow: Any, column: Sequence[Any]) -> Any:
    """Build a dense union: each cell tells its type and its place among the cells of that type."""
    by_type: dict[type, list[Any]] = {}
    codes, offsets = [], []
    for cell in column:
        alike = by_type.setdefault(type(cell), [])
        codes.append(list(by_type).index(type(cell)))
        offsets.append(len(alike))
        alike.append(cell)
    children = [
        arrow.nulls(len(alike)) if kind is type(None) else _plain(arrow, alike, kind_of(alike))
        for kind, alike in by_type.items()
    ]
    return arrow.UnionArray.from_dense(
        arrow.array(codes, arrow.int8()),
        arrow.array(offsets, arrow.int32()),
        children,
        [kind.__name__ for kind in by_type],
    )
