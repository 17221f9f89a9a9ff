"""Filters, written in Python: (field("year") >= 2000) & field("section").isin(["games", "math"]) & ~field("draft").exists().

A comparison makes a Filter; `&`, `|` and `~` join them. Python's `and`, `or`, `not` and chained comparisons cannot be
overloaded and raise TypeError. Wherever a filter is taken, a string is too: the text form, parsed by the server
(docs/filters.md). What a filter means is the server's: a condition on a missing field is false, `~` is plain negation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn, TypeAlias

from vecgate.errors import InvalidArgumentError
from vecgate.timestamps import Timestamp

Operand: TypeAlias = str | int | float | bool | Timestamp | datetime
"""What a field is compared with; datetimes must be aware."""
OrderedOperand: TypeAlias = int | float | Timestamp | datetime
"""What a field is ordered against."""


class Relation(StrEnum):
    """The tests of one field that take one value; each is named as its field of vecgate.v1.Condition."""

    EQ = "eq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


class Filter:
    """A condition on metadata; joins with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return AllOf((*_children(self, AllOf), *_children(other, AllOf)))

    def __or__(self, other: Filter) -> Filter:
        return AnyOf((*_children(self, AnyOf), *_children(other, AnyOf)))

    def __invert__(self) -> Filter:
        return Negation(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a filter has no truth value: join filters with & | ~, not with and, or, not or a < b < c")


@dataclass(frozen=True, slots=True)
class AllOf(Filter):
    """True when every child is true."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """True when at least one child is true."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negation(Filter):
    """True when the child is false, also for records that lack the child's field."""

    child: Filter


@dataclass(frozen=True, slots=True)
class Comparison(Filter):
    """One test of one field against one value."""

    field: str
    relation: Relation
    value: Operand


@dataclass(frozen=True, slots=True)
class Membership(Filter):
    """The field equals one of the values."""

    field: str
    values: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Existence(Filter):
    """The record has the field, or, not `present`, lacks it."""

    field: str
    present: bool


@dataclass(frozen=True, slots=True)
class Expression(Filter):
    """The text form, parsed by the server."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A metadata field, for building filters. Made by field()."""

    name: str

    __hash__ = None  # type: ignore[assignment]  # == builds a filter, so a Field cannot be a key

    def __eq__(self, value: Operand) -> Filter:  # type: ignore[override]  # builds a filter instead of comparing
        """Equal in type and value: 1 equals 1.0, True is not 1; on a list of strings: contains the string."""
        return Comparison(self.name, Relation.EQ, value)

    def __ne__(self, value: Operand) -> Filter:  # type: ignore[override]  # as ==
        """Not equal; also true for records that lack the field."""
        return Negation(self == value)

    def __gt__(self, value: OrderedOperand) -> Filter:
        """Greater; numbers and timestamps only."""
        return Comparison(self.name, Relation.GT, value)

    def __ge__(self, value: OrderedOperand) -> Filter:
        """Greater or equal; numbers and timestamps only."""
        return Comparison(self.name, Relation.GTE, value)

    def __lt__(self, value: OrderedOperand) -> Filter:
        """Less; numbers and timestamps only."""
        return Comparison(self.name, Relation.LT, value)

    def __le__(self, value: OrderedOperand) -> Filter:
        """Less or equal; numbers and timestamps only."""
        return Comparison(self.name, Relation.LTE, value)

    def isin(self, values: Sequence[Operand]) -> Filter:
        """Equal to one of the values.

        Args:
            values: at least one.

        Raises:
            InvalidArgumentError: `values` is empty or a single string.
        """
        if isinstance(values, str) or not values:
            raise InvalidArgumentError.at("isin", f"expected a sequence of at least one value, got {values!r}")
        return Membership(self.name, tuple(values))

    def contains(self, value: str) -> Filter:
        """Whether the field, a list of strings, holds this string (or is this string)."""
        return Comparison(self.name, Relation.EQ, value)

    def exists(self, *, present: bool = True) -> Filter:
        """Whether the record has the field, or, with present=False, lacks it."""
        return Existence(self.name, present)


def field(name: str) -> Field:
    """Name a metadata field, literally: dots, spaces and brackets have no meaning."""
    return Field(name)


def expression(text: str) -> Filter:
    """Take the text form, such as 'section = "games" AND installed_size_kib < 1000', as part of a larger filter."""
    return Expression(text)


def _children(node: Filter, kind: type[AllOf | AnyOf]) -> tuple[Filter, ...]:
    return node.children if isinstance(node, kind) else (node,)
