"""Which column of a table is which part of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from vecgate.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a table the parts of a record are. A table needs the id, and the text, the vector or both.

    Attributes:
        id: strings, or whole numbers, which are taken as their digits; of a DataFrame also the name of its index.
        text: strings; null: none.
        vector: lists of numbers; null: none.
        metadata: the columns to keep as metadata, under their names or, as a mapping of column to field, under others;
            None: every other column.
        metadata_prefix: with `metadata` None: only the columns whose names begin so, under what follows it.
    """

    id: str = "id"
    text: str = "text"
    vector: str = "vector"
    metadata: Sequence[str] | Mapping[str, str] | None = None
    metadata_prefix: str = ""


@dataclass(frozen=True, slots=True)
class ChosenColumns:
    """The columns of one table; `metadata` is column → field."""

    id: str
    text: str | None
    vector: str | None
    metadata: Mapping[str, str]

    def __iter__(self) -> Iterator[str]:
        yield self.id
        yield from (name for name in (self.text, self.vector) if name is not None)
        yield from self.metadata


def choose_columns(columns: Columns, there: Sequence[str]) -> ChosenColumns:
    """Find the parts of a record among the columns that there are.

    Raises:
        InvalidArgumentError: one is missing or comes twice; the message lists those that there are.
    """
    if repeated := sorted({name for name in there if there.count(name) > 1}):
        raise InvalidArgumentError.at("columns", f"{repeated[0]!r} comes twice in the table")
    usual = {part.name: part.default for part in fields(Columns)}
    text = columns.text if columns.text in there or columns.text != usual["text"] else None
    vector = columns.vector if columns.vector in there or columns.vector != usual["vector"] else None
    if text is None and vector is None:
        raise _missing("text", columns.text, there)
    taken = {columns.id, text, vector}
    chosen = ChosenColumns(columns.id, text, vector, _metadata(columns, [name for name in there if name not in taken]))
    for part, name in (("id", columns.id), ("text", text), ("vector", vector)):
        if name is not None and name not in there:
            raise _missing(part, name, there)
    for name in chosen.metadata:
        if name not in there:
            raise _missing("metadata", name, there)
    return chosen


def _metadata(columns: Columns, others: Sequence[str]) -> Mapping[str, str]:
    match columns.metadata:
        case None:
            prefix = columns.metadata_prefix
            return {name: name.removeprefix(prefix) for name in others if name.startswith(prefix)}
        case str():
            raise InvalidArgumentError.at(
                "columns.metadata", f"expected names of columns, got one; write [{columns.metadata!r}]"
            )
        case Mapping():
            return columns.metadata
        case _:
            return {name: name for name in columns.metadata}


def _missing(part: str, name: str, there: Sequence[str]) -> InvalidArgumentError:
    known = ", ".join(map(repr, there)) or "none"
    return InvalidArgumentError.at(f"columns.{part}", f"the table has no column {name!r}; there are {known}")
