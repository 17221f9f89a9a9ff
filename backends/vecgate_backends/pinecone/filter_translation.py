"""Filters as Pinecone's, over the typed copies of record_codec.

A translation lets through every record that matches, and sometimes more: where doubles cannot tell two integers apart, or where a condition on
a list must be negated. It says so, and the caller then checks the records again with filters.matches. Two habits of Pinecone shape it:
$ne and $nin skip records without the field, so those are let in by $exists; and on a list a condition holds if it does for any element.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vecgate_backends.errors import UnsupportedError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Scalar
from vecgate_backends.pinecone.record_codec import comparable_string, nearest_double
from vecgate_backends.records import Timestamp

Expression: TypeAlias = dict[str, Any]
MOST_LISTED_VALUES = 10_000
EXACT_INTEGERS = 2**53
"""From here on two integers may share one double."""
KINDS = "snbte"
"""Kinds of copies; a record has the field if it has one of them."""
_OPPOSITE = {Order.GT: Order.LTE, Order.GTE: Order.LT, Order.LT: Order.GTE, Order.LTE: Order.GT}
_INCLUSIVE = {Order.GT: "$gte", Order.GTE: "$gte", Order.LT: "$lte", Order.LTE: "$lte"}
_STRICT = {Order.GT: "$gt", Order.GTE: "$gt", Order.LT: "$lt", Order.LTE: "$lt"}


@dataclass(frozen=True, slots=True)
class Translation:
    """What to ask Pinecone.

    Attributes:
        expression: Pinecone's filter; None lets everything through.
        exact: it lets through what matches and nothing else.
        nothing: nothing can match.
    """

    expression: Expression | None
    exact: bool = True
    nothing: bool = False


EVERYTHING = Translation(None)
NOTHING = Translation(None, nothing=True)


def translate(node: Filter | None) -> Translation:
    """Translate a filter; None matches everything."""
    return EVERYTHING if node is None else _translate(node, negated=False)


def _translate(node: Filter, *, negated: bool) -> Translation:
    match node:
        case Not(child):
            return _translate(child, negated=not negated)
        case And(children) | Or(children):
            parts = [_translate(child, negated=negated) for child in children]
            return _all(parts) if isinstance(node, And) is not negated else _any(parts)
        case Exists(field, present):
            return _exists(field, present is not negated)
        case Eq(field, value):
            return _one_of(field, (value,), negated=negated)
        case In(field, values):
            return _one_of(field, values, negated=negated)
        case Compare(field, order, bound):
            if isinstance(bound, Timestamp):
                return _compare_times(field, order, bound, negated=negated)
            return _compare_numbers(field, order, bound, negated=negated)


def _exists(field: str, present: bool) -> Translation:
    parts = [Translation({f"{kind}:{field}": {"$exists": present}}) for kind in KINDS]
    return _any(parts) if present else _all(parts)


def _missing(key: str) -> Translation:
    return Translation({key: {"$exists": False}})


def _one_of(field: str, values: Sequence[Scalar], *, negated: bool) -> Translation:
    """Equal to one of the values, or to none: each type has a key of its own."""
    if len(values) > MOST_LISTED_VALUES:
        raise UnsupportedError(f"Pinecone compares with {MOST_LISTED_VALUES:,} values at most, not {len(values):,}")
    strings = [comparable_string(value) for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    parts = [_one_time(field, value, negated=negated) for value in values if isinstance(value, Timestamp)]
    parts += [_one_truth(field, value, negated=negated) for value in values if isinstance(value, bool)]
    if strings:
        # A list that holds one of them may hold others too, so its negation lets it through.
        parts.append(_listed(f"s:{field}", strings, negated=negated, exact=not negated))
    if numbers:
        parts.append(_one_number(f"n:{field}", numbers, negated=negated))
    return _all(parts) if negated else _any(parts)


def _listed(key: str, values: Sequence[Scalar], *, negated: bool, exact: bool) -> Translation:
    if not negated:
        wanted = {"$eq": values[0]} if len(values) == 1 else {"$in": list(values)}
        return Translation({key: wanted}, exact)
    others = {"$ne": values[0]} if len(values) == 1 else {"$nin": list(values)}
    return _any([Translation({key: others}, exact), _missing(key)])


def _one_number(key: str, values: Sequence[float], *, negated: bool) -> Translation:
    certain = [nearest_double(value) for value in values if abs(value) < EXACT_INTEGERS]
    if not negated:
        return _listed(
            key, [nearest_double(value) for value in values], negated=False, exact=len(certain) == len(values)
        )
    if not certain:
        return Translation(None, exact=False)
    return _listed(key, certain, negated=True, exact=len(certain) == len(values))


def _one_truth(field: str, value: bool, *, negated: bool) -> Translation:
    key = f"b:{field}"
    wanted = Translation({key: {"$eq": value is not negated}})
    return _any([wanted, _missing(key)]) if negated else wanted


def _one_time(field: str, value: Timestamp, *, negated: bool) -> Translation:
    seconds, nanos = f"t:{field}", f"u:{field}"
    if not negated:
        return _all([Translation({seconds: {"$eq": value.seconds}}), Translation({nanos: {"$eq": value.nanos}})])
    return _any(
        [
            Translation({seconds: {"$ne": value.seconds}}),
            Translation({nanos: {"$ne": value.nanos}}),
            _missing(seconds),
        ]
    )


def _compare_numbers(field: str, order: Order, bound: float, *, negated: bool) -> Translation:
    key = f"n:{field}"
    asked = _OPPOSITE[order] if negated else order
    exact = abs(bound) < EXACT_INTEGERS
    operator = f"${asked}" if exact else _INCLUSIVE[asked]
    part = Translation({key: {operator: nearest_double(bound)}}, exact)
    return _any([part, _missing(key)]) if negated else part


def _compare_times(field: str, order: Order, bound: Timestamp, *, negated: bool) -> Translation:
    seconds, nanos = f"t:{field}", f"u:{field}"
    asked = _OPPOSITE[order] if negated else order
    part = _any(
        [
            Translation({seconds: {_STRICT[asked]: bound.seconds}}),
            _all([Translation({seconds: {"$eq": bound.seconds}}), Translation({nanos: {f"${asked}": bound.nanos}})]),
        ]
    )
    return _any([part, _missing(seconds)]) if negated else part


def _all(parts: Iterable[Translation]) -> Translation:
    listed = list(parts)
    if any(part.nothing for part in listed):
        return NOTHING
    exact = all(part.exact for part in listed)
    expressions = [part.expression for part in listed if part.expression is not None]
    return Translation(_joined("$and", expressions) if expressions else None, exact)


def _any(parts: Iterable[Translation]) -> Translation:
    listed = [part for part in parts if not part.nothing]
    if not listed:
        return NOTHING
    everything = [part for part in listed if part.expression is None]
    if everything:
        return Translation(None, exact=any(part.exact for part in everything))
    expressions = [part.expression for part in listed if part.expression is not None]
    return Translation(_joined("$or", expressions), all(part.exact for part in listed))


def _joined(word: str, expressions: Sequence[Expression]) -> Expression:
    return expressions[0] if len(expressions) == 1 else {word: list(expressions)}
