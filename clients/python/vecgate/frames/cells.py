"""Records and matches, turned by a quarter: their cells by column, and what type each column has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate.errors import InvalidArgumentError
from vecgate.results import StoredRecord
from vecgate.search_results import Match, SearchResult
from vecgate.timestamps import Timestamp

INT64_NANOSECONDS = range(-(2**63) + 1, 2**63)
"""Nanoseconds since 1970 that a column of 64 bits holds; the lowest number stands for a null in NumPy."""

Rows: TypeAlias = Iterable[StoredRecord | Match] | Iterable[SearchResult]


class Kind(Enum):
    """What a column of metadata holds."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    STRINGS = "list of strings"
    NANOSECONDS = "time, in nanoseconds"
    MICROSECONDS = "time, in microseconds: of years that nanoseconds do not reach"
    MOMENT = "time, in seconds and nanoseconds: of such years, too fine for microseconds"
    MIXED = "several of these"


KINDS: dict[type, Kind] = {
    str: Kind.STRING,
    bool: Kind.BOOL,
    int: Kind.INTEGER,
    float: Kind.FLOAT,
    tuple: Kind.STRINGS,
    Timestamp: Kind.NANOSECONDS,
}


@dataclass(slots=True)
class Cells:
    """The cells of a table; None is a null, and a column that none of the rows has is empty."""

    queries: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rerank_scores: list[float | None] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    vectors: list[NDArray[np.float32] | None] = field(default_factory=list)
    metadata: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, row: StoredRecord | Match) -> None:
        """Append a row."""
        for name, value in row.metadata.items():
            if name not in self.metadata:
                self.metadata[name] = [None] * len(self.ids)
            self.metadata[name].append(value)
        self.ids.append(row.id)
        self.texts.append(row.text)
        self.vectors.append(row.vector)
        if isinstance(row, Match):
            self.scores.append(row.score)
            self.rerank_scores.append(row.rerank_score)
        for column in self.metadata.values():
            if len(column) < len(self.ids):
                column.append(None)

    def columns(self, metadata_prefix: str) -> dict[str, Sequence[Any]]:
        """Return the columns that any row has, by name; the id always.

        Raises:
            InvalidArgumentError: a metadata field has the name of a column.
        """
        parts: dict[str, Sequence[Any]] = {"id": self.ids}
        if self.queries:
            parts = {"query": self.queries, **parts}
        if self.scores:
            parts["score"] = self.scores
        for name, cells in (("rerank_score", self.rerank_scores), ("text", self.texts), ("vector", self.vectors)):
            if any(cell is not None for cell in cells):
                parts[name] = cells
        for name, cells in sorted(self.metadata.items()):
            column = metadata_prefix + name
            if column in parts:
                raise InvalidArgumentError.at(
                    "metadata_prefix",
                    f"the metadata field {name!r} would be a second column {column!r}; give another prefix",
                )
            parts[column] = cells
        return parts


def cells_of(rows: Rows) -> Cells:
    """Turn records, matches, or the results of several searches.

    Raises:
        InvalidArgumentError: rows of several kinds.
        TypeError: something else, such as the error of a query that failed.
    """
    cells = Cells()
    for number, row in enumerate(rows):
        if isinstance(row, SearchResult):
            cells.queries += [number] * len(row)
            for match in row:
                cells.add(match)
        elif isinstance(row, StoredRecord | Match):
            cells.add(row)
        else:
            raise TypeError(f"expected records, matches or search results, got {type(row).__name__}")
    if len(cells.scores) not in {0, len(cells.ids)} or len(cells.queries) not in {0, len(cells.ids)}:
        raise InvalidArgumentError.at("rows", "records, matches and results of searches do not make one table")
    return cells


def kind_of(cells: Sequence[Any]) -> Kind:
    """Tell what a column of metadata holds, nulls aside."""
    types = {type(cell) for cell in cells if cell is not None}
    if types == {Timestamp}:
        return _time_kind([cell for cell in cells if cell is not None])
    return KINDS[types.pop()] if len(types) == 1 else Kind.MIXED


def _time_kind(moments: Sequence[Timestamp]) -> Kind:
    if all(nanoseconds(moment) in INT64_NANOSECONDS for moment in moments):
        return Kind.NANOSECONDS
    return Kind.MOMENT if any(moment.nanos % 1_000 for moment in moments) else Kind.MICROSECONDS


def nanoseconds(moment: Timestamp) -> int:
    """Return nanoseconds since 1970."""
    return moment.seconds * 10**9 + moment.nanos


def microseconds(moment: Timestamp) -> int:
    """Return microseconds since 1970; what lies below is cut off."""
    return moment.seconds * 10**6 + moment.nanos // 1_000


def one_width(vectors: Sequence[NDArray[np.float32] | None]) -> int | None:
    """Return the length that all vectors have, None if they have several."""
    widths = {vector.size for vector in vectors if vector is not None}
    return widths.pop() if len(widths) == 1 else None
