"""Filters: a typed tree over metadata, and what it means.

The meaning is the same on every backend:

- A condition on a field that the record lacks is false, whatever the condition (but for Exists(present=False)).
- Not is plain negation, so it includes records that lack the field.
- Eq compares type and value: 1 equals 1.0, True is not 1. On a list of strings it means "contains".
- Compare takes numbers and timestamps; a stored value of another type than the operand's is false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import TypeAlias

from vecgate_backends.records import Metadata, MetadataValue, Timestamp

Scalar: TypeAlias = str | int | float | bool | Timestamp
Ordered: TypeAlias = int | float | Timestamp


class Order(StrEnum):
    """The four range tests."""

    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


@dataclass(frozen=True, slots=True)
class And:
    """True when every child is true; at least one child."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when at least one child is true; at least one child."""

    children: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True when the child is false."""

    child: Filter


@dataclass(frozen=True, slots=True)
class Eq:
    """The field equals the value, or is a list that contains it."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class In:
    """Eq to at least one of the values; at least one value."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """The field is greater or less than the value."""

    field: str
    order: Order
    value: Ordered


@dataclass(frozen=True, slots=True)
class Exists:
    """The record has the field (present) or lacks it."""

    field: str
    present: bool = True


Filter: TypeAlias = And | Or | Not | Eq | In | Compare | Exists

ORDERINGS: dict[Order, Callable[[Ordered, Ordered], bool]] = {
    Order.GT: gt,
    Order.GTE: ge,
    Order.LT: lt,
    Order.LTE: le,
}

ValueKey: TypeAlias = tuple[str, Scalar]


def value_key(value: Scalar) -> ValueKey:
    """Return a hashable key, equal exactly for values that Eq calls equal (1 and 1.0 share one; 1 and True do not)."""
    return (_kind(value), value)


def value_keys(value: MetadataValue) -> Iterable[ValueKey]:
    """Return the keys under which Eq finds a stored value: one for a scalar, one an element for a list."""
    if isinstance(value, tuple):
        return [value_key(element) for element in value]
    return (value_key(value),)


def comparable(stored: MetadataValue, operand: Ordered) -> bool:
    """Whether a stored value and a Compare's operand are both numbers or both timestamps."""
    return not isinstance(stored, tuple) and _kind(stored) == _kind(operand)


def matches(node: Filter, metadata: Metadata) -> bool:
    """Decide whether a record with this metadata passes the filter; the reference that every index must agree with."""
    match node:
        case And(children):
            return all(matches(child, metadata) for child in children)
        case Or(children):
            return any(matches(child, metadata) for child in children)
        case Not(child):
            return not matches(child, metadata)
        case Exists(field, present):
            return (field in metadata) is present
        case Eq(field, value):
            return field in metadata and value_key(value) in value_keys(metadata[field])
        case In(field, values):
            return field in metadata and not {value_key(value) for value in values}.isdisjoint(
                value_keys(metadata[field])
            )
        case Compare(field, order, operand):
            stored = metadata.get(field)
            return stored is not None and comparable(stored, operand) and ORDERINGS[order](stored, operand)  # type: ignore[arg-type]  # comparable() holds


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "timestamp"
