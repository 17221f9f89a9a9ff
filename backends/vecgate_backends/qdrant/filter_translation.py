"""Filters as Qdrant's conditions, with exactly the meaning of filters.matches; payload.py describes the keys they test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qdrant_client import models

from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Ordered, Scalar
from vecgate_backends.qdrant.exact_numbers import double_below, order_key, survives
from vecgate_backends.qdrant.payload import NAMESPACE, PRESENCE, Part, payload_path
from vecgate_backends.records import Timestamp

_STRICT = {Order.GT: Order.GT, Order.GTE: Order.GT, Order.LT: Order.LT, Order.LTE: Order.LT}
# A bound between two doubles: a double is above it when it is above the lower of them.
_BETWEEN = {Order.GT: Order.GT, Order.GTE: Order.GT, Order.LT: Order.LTE, Order.LTE: Order.LTE}
_LARGEST_PLAIN_INTEGER = 2**53


def in_namespace(key: str, node: Filter | None = None, *conditions: models.Condition) -> models.Filter:
    """Select the records of a namespace, by the value its records hold in NAMESPACE, that match."""
    own = models.FieldCondition(key=NAMESPACE, match=models.MatchValue(value=key))
    return models.Filter(must=[own, *([] if node is None else [translate(node)]), *conditions])


def translate(node: Filter) -> models.Filter:
    """Return the Qdrant filter that selects exactly the records that match."""
    match node:
        case And(children):
            return models.Filter(must=[translate(child) for child in children])
        case Or(children):
            return models.Filter(should=[translate(child) for child in children])
        case Not(child):
            return models.Filter(must_not=[translate(child)])
        case Exists(field, present):
            found = models.Filter(should=[_not_empty(payload_path(part, field)) for part in PRESENCE])
            return found if present else models.Filter(must_not=[found])
        case Eq(field, value):
            return models.Filter(should=list(_equal(field, value)))
        case In(field, values):
            strings = [value for value in values if isinstance(value, str)]
            conditions: list[models.Condition] = [
                condition for value in values if not isinstance(value, str) for condition in _equal(field, value)
            ]
            if strings:
                conditions.append(_match(Part.STRINGS, field, models.MatchAny(any=strings)))
            return models.Filter(should=conditions)
        case Compare(field, order, bound):
            return _compare(field, order, bound)


def indexes(node: Filter) -> dict[str, models.PayloadSchemaType]:
    """Return the payload indexes that would serve a filter: path → kind."""
    return {payload_path(part, field): _INDEXES[part] for part, field in _tested(node) if part in _INDEXES}


_INDEXES = {
    Part.STRINGS: models.PayloadSchemaType.KEYWORD,
    Part.NUMBER: models.PayloadSchemaType.FLOAT,
    Part.HIGH: models.PayloadSchemaType.INTEGER,
    Part.BOOLEAN: models.PayloadSchemaType.BOOL,
    Part.SECONDS: models.PayloadSchemaType.INTEGER,
}


_KINDS: Mapping[str, Scalar] = {"string": "", "number": 0, "boolean": False, "timestamp": Timestamp(0)}


def field_indexes(field: str, kind: str) -> dict[str, models.PayloadSchemaType]:
    """Return the payload indexes of a field that holds values of a kind: string, number, boolean or timestamp."""
    return indexes(Eq(field, _KINDS[kind]))


def parts_of_kind(value: Scalar) -> tuple[Part, ...]:
    """Return the parts that values of an operand's kind are found by."""
    match value:
        case bool():
            return (Part.BOOLEAN,)
        case str():
            return (Part.STRINGS,)
        case Timestamp():
            return (Part.SECONDS,)
        case _:
            return (Part.NUMBER, Part.HIGH)


def _tested(node: Filter) -> Iterator[tuple[Part, str]]:
    match node:
        case And(children) | Or(children):
            for child in children:
                yield from _tested(child)
        case Not(child):
            yield from _tested(child)
        case Eq(field, value) | Compare(field, _, value):
            yield from ((part, field) for part in parts_of_kind(value))
        case In(field, values):
            yield from ((part, field) for value in values for part in parts_of_kind(value))
        case Exists():
            return


def _equal(field: str, value: Scalar) -> Iterator[models.Condition]:
    match value:
        case bool():
            yield _match(Part.BOOLEAN, field, models.MatchValue(value=value))
        case str():
            yield _match(Part.STRINGS, field, models.MatchValue(value=value))
        case Timestamp(seconds, nanos):
            yield _both(_at(Part.SECONDS, field, seconds), _at(Part.NANOS, field, nanos))
        case _:
            double = float(value)
            if double == value and (abs(double) <= _LARGEST_PLAIN_INTEGER or survives(double)):
                yield _at(Part.NUMBER, field, double)
            if not survives(double):
                high, low = order_key(value)
                yield _both(_at(Part.HIGH, field, high), _at(Part.LOW, field, low))


def _compare(field: str, order: Order, bound: Ordered) -> models.Filter:
    if isinstance(bound, Timestamp):
        return _pair(Part.SECONDS, Part.NANOS, field, order, (bound.seconds, bound.nanos))
    below = double_below(bound)
    plain = _range(Part.NUMBER, field, order if below == bound else _BETWEEN[order], below)
    return models.Filter(should=[plain, _pair(Part.HIGH, Part.LOW, field, order, order_key(bound))])


def _pair(major: Part, minor: Part, field: str, order: Order, bound: tuple[int, int]) -> models.Filter:
    """Compare two parts lexicographically."""
    tie = _both(_at(major, field, bound[0]), _range(minor, field, order, bound[1]))
    return models.Filter(should=[_range(major, field, _STRICT[order], bound[0]), tie])


def _both(*conditions: models.Condition) -> models.Filter:
    return models.Filter(must=list(conditions))


_RANGES: dict[Order, Callable[[float], models.Range]] = {
    Order.GT: lambda bound: models.Range(gt=bound),
    Order.GTE: lambda bound: models.Range(gte=bound),
    Order.LT: lambda bound: models.Range(lt=bound),
    Order.LTE: lambda bound: models.Range(lte=bound),
}


def _range(part: Part, field: str, order: Order, bound: float) -> models.FieldCondition:
    return models.FieldCondition(key=payload_path(part, field), range=_RANGES[order](bound))


def _at(part: Part, field: str, value: float) -> models.FieldCondition:
    return models.FieldCondition(key=payload_path(part, field), range=models.Range(gte=value, lte=value))


def _match(part: Part, field: str, match: Any) -> models.FieldCondition:
    return models.FieldCondition(key=payload_path(part, field), match=match)


def _not_empty(path: str) -> models.Filter:
    return models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=path))])
