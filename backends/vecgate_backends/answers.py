"""What a backend answers: hits, the fate of writes, pages, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vecgate_backends.errors import VecgateError
from vecgate_backends.filters import Scalar
from vecgate_backends.records import FloatVector, Record, Timestamp


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a search did: a sentence and the numbers behind it."""

    plan: str
    details: Mapping[str, int | float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to one query: ids and scores, shape (hits,), sorted; `records` is None when ids alone were asked for."""

    ids: Sequence[str]
    scores: FloatVector
    records: Sequence[Record] | None
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch: None or the error, one a record; whether a search sees it; the token to read it by."""

    errors: Sequence[VecgateError | None]
    searchable: bool
    consistency_token: str


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What became of a delete or an update of metadata: how many records were selected."""

    matched: int
    searchable: bool
    consistency_token: str


@dataclass(frozen=True, slots=True)
class Page:
    """Records in the collection's listing order, and where the next page starts; None at the end."""

    records: Sequence[Record]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class FieldStats:
    """A metadata field over the selected records.

    Attributes:
        values: distinct values with their counts, most frequent first, then by type and value; cut at the asked limit.
            An element of a list counts once a record. 1 and 1.0 are one value.
        distinct: how many distinct values there are in all.
        present: records that have the field. missing: those that lack it.
        numbers: smallest and largest number, None without numbers. timestamps: likewise.
    """

    values: Sequence[tuple[Scalar, int]]
    distinct: int
    present: int
    missing: int
    numbers: tuple[int | float, int | float] | None
    timestamps: tuple[Timestamp, Timestamp] | None
