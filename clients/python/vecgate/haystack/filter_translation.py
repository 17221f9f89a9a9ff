"""Haystack's filters as vecgate's, with Haystack's meaning.

Where the two languages differ, the translation makes up for it: True equals 1; a missing field is None, which != and
"not in" are true of; a list equals no string that it contains; dates are text; a range over numbers takes booleans.

Metadata is all that the server can filter by. A condition on another part of a document (content, id, blob, …) is left
out, which lets more documents through, and the translation says that it is not exact: whoever uses it then filters again
with Haystack's own function, or refuses.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
from haystack.errors import FilterError

from vecgate.filters import AllOf, AnyOf, Filter, expression, field
from vecgate.haystack.metadata import INSTANT, VALUES, WALL, composite_mark, value_mark
from vecgate.haystack.moments import Moment, moment_from
from vecgate.wire.values import INT64

StoreFilter: TypeAlias = Mapping[str, Any] | Filter | str
"""Haystack's dictionary, or a filter of vecgate's own in either form."""

NOTHING = field("haystack:nothing").exists()
"""True of no record: no record has the field."""
MAX_ID_BYTES = 512
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
PARTS_OF_A_DOCUMENT = ("id", "content", "blob", "meta", "score", "embedding", "sparse_embedding")
RANGES: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Translation:
    """What the server can tell of a filter.

    Attributes:
        necessary: true of every record that the filter is true of; None: nothing is known.
        exact: and of no other.
        ids: true of no document but these; None: nothing is known.
    """

    necessary: Filter | None
    exact: bool
    ids: tuple[str, ...] | None = None


def translate(filters: StoreFilter | None) -> Translation:
    """Translate a filter; None and an empty dictionary are true of every document.

    Raises:
        FilterError: it is malformed, or compares what cannot be compared.
    """
    if isinstance(filters, str):
        return Translation(expression(filters), exact=True)
    if isinstance(filters, Filter):
        return Translation(filters, exact=True)
    if not filters:
        return Translation(None, exact=True)
    return _node(filters)


def translate_selection(filters: StoreFilter) -> Translation:
    """Translate a filter that chooses what to change.

    Raises:
        FilterError: as translate; or it is empty, which would choose everything.
    """
    if isinstance(filters, Mapping) and not filters:
        raise FilterError("an empty filter would choose every document; delete_all_documents() deletes them all")
    return translate(filters)


def _node(node: Any) -> Translation:
    if not isinstance(node, Mapping):
        raise FilterError(f"expected a dictionary, got {node!r}")
    if "field" in node:
        return _comparison(node)
    return _logic(node)


def _logic(node: Mapping[str, Any]) -> Translation:
    kind, conditions = _key(node, "operator"), _key(node, "conditions")
    if kind not in ("AND", "OR", "NOT"):
        raise FilterError(
            f"unknown operator {kind!r}; conditions are joined by AND, OR or NOT, and compared by a 'field'"
        )
    if not isinstance(conditions, list | tuple):
        raise FilterError(f"'conditions' must be a list, got {conditions!r}")
    children = [_node(condition) for condition in conditions]
    exact = all(child.exact for child in children)
    known = tuple(child.necessary for child in children if child.necessary is not None)
    if kind == "OR":
        return Translation(_any(known) if len(known) == len(children) else None, exact)
    if kind == "AND":
        ids = next((child.ids for child in children if child.ids is not None), None)
        return Translation(_all(known) if known or exact else None, exact, ids)
    return Translation(~_all(known) if exact else None, exact)


def _comparison(node: Mapping[str, Any]) -> Translation:
    name, kind, value = _key(node, "field"), _key(node, "operator"), _key(node, "value")
    if not isinstance(name, str):
        raise FilterError(f"'field' must be a string, got {name!r}")
    if not isinstance(kind, str) or kind not in COMPARISONS:
        raise FilterError(f"unknown operator {kind!r}; there are {', '.join(COMPARISONS)}")
    if name in PARTS_OF_A_DOCUMENT:
        COMPARISONS[kind]("", _value(value))  # refuses what cannot be compared
        if name == "embedding" and value is not None:
            raise FilterError("an embedding is compared with None alone: what is stored is its float32")
        return Translation(None, exact=False, ids=_ids(kind, value) if name == "id" else None)
    if "." in name and not name.startswith("meta."):
        raise FilterError(f"no field {name!r}; the fields of meta are named 'meta.{name}'")
    return Translation(COMPARISONS[kind](name.removeprefix("meta."), _value(value)), exact=True)


def _ids(kind: str, value: Any) -> tuple[str, ...] | None:
    if kind == "==" and isinstance(value, str):
        return tuple(filter(_may_be_an_id, (value,)))
    if kind == "in" and all(isinstance(each, str) for each in value):
        return tuple(filter(_may_be_an_id, dict.fromkeys(value)))
    return None


def _may_be_an_id(text: str) -> bool:
    """Tell whether a record may have this id: the server refuses to be asked for another."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_ID_BYTES and not CONTROL_CHARACTER.search(text)


def _equal(place: str, value: Any) -> Filter:
    match value:
        case None:
            return ~(field(place).exists() | is_composite(place))
        case bool() | int() | float():
            return _equals_number(place, value)
        case str():
            moment = moment_from(value)
            same = _same_text(place, (value,))
            return same if moment is None else same | _in_time(place, "==", moment)
        case datetime():
            moment = moment_from(value)
            return NOTHING if moment is None else _in_time(place, "==", moment)
        case list() | dict():
            return _equals_composite(place, value)
        case _:
            raise FilterError(f"{type(value).__name__} cannot be compared with what meta holds")


def _same_text(place: str, texts: Sequence[str]) -> Filter:
    return field(place).isin(texts) & ~is_composite(place)


def _equals_number(place: str, value: float) -> Filter:
    if (value not in INT64) if isinstance(value, int) else not math.isfinite(value):
        return NOTHING
    twins: tuple[float | bool, ...] = (int(value), bool(value)) if value in (0, 1) else (value,)
    return field(place).isin(twins)


def _equals_composite(place: str, value: Any) -> Filter:
    try:
        return field(VALUES).contains(value_mark(place, value))
    except TypeError as unfit:
        raise FilterError(f"{value!r} cannot be compared with what meta holds: {unfit}") from unfit


def _within(place: str, values: Any) -> Filter:
    if not isinstance(values, list):
        raise FilterError(f"'in' and 'not in' take a list, got {type(values).__name__}")
    plain = [value for value in values if isinstance(value, str) and moment_from(value) is None]
    others = [_equal(place, _value(value)) for value in values if value not in plain]
    among = [_same_text(place, plain)] if plain else []
    return _any((*among, *others))


def _range(kind: str) -> Callable[[str, Any], Filter]:
    def compare(place: str, value: Any) -> Filter:
        match value:
            case None:
                return NOTHING
            case bool() | int() | float():
                return _in_range(place, kind, value)
            case str() | datetime():
                moment = moment_from(value)
                if moment is None:
                    raise FilterError(f"{kind} takes numbers and dates in ISO 8601 such as 2024-01-31, not {value!r}")
                return _in_time(place, kind, moment)
            case _:
                raise FilterError(f"{kind} takes numbers and dates in ISO 8601, not {type(value).__name__}")

    return compare


def _in_range(place: str, kind: str, value: float) -> Filter:
    bound = int(value) if isinstance(value, int) and value in INT64 else _as_float(value)
    if not math.isfinite(bound):
        raise FilterError(f"{kind} takes finite numbers, not {value}")
    numbers: Filter = RANGES[kind](field(place), bound)
    booleans = [flag for flag in (False, True) if RANGES[kind](flag, value)]
    return numbers | field(place).isin(booleans) if booleans else numbers


def _as_float(value: float) -> float:
    """Convert an integer that no 64 bits hold; beyond the range of floats, to the largest."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _in_time(place: str, kind: str, moment: Moment) -> Filter:
    """Compare with a record's date, and with a point in time that something else than this store wrote."""
    compare = operator.eq if kind == "==" else RANGES[kind]
    wall: Filter = compare(field(WALL + place), moment.wall)
    if moment.instant is None:
        instant: Filter = compare(field(place), moment.wall)
        return wall | (instant & ~field(WALL + place).exists())
    without_zone = wall & ~field(INSTANT + place).exists()
    instants = [compare(field(name), moment.instant) for name in (INSTANT + place, place)]
    return _any((without_zone, *instants))


COMPARISONS: dict[str, Callable[[str, Any], Filter]] = {
    "==": _equal,
    "!=": lambda place, value: ~_equal(place, value),
    **{kind: _range(kind) for kind in RANGES},
    "in": _within,
    "not in": lambda place, value: ~_within(place, value),
}
"""Operator → what it makes of a path in meta and a value."""


def is_composite(place: str) -> Filter:
    """Match records with a list or a dictionary at a place."""
    return field(VALUES).contains(composite_mark(place))


def _any(children: tuple[Filter, ...]) -> Filter:
    return AnyOf(children) if len(children) > 1 else children[0] if children else NOTHING


def _all(children: tuple[Filter, ...]) -> Filter:
    return AllOf(children) if len(children) > 1 else children[0] if children else ~NOTHING


def _key(node: Mapping[str, Any], key: str) -> Any:
    if key not in node:
        raise FilterError(f"{key!r} is missing in {dict(node)!r}")
    return node[key]


def _value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
