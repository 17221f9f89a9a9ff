"""Filters as LangChain's users write them, {"year": {"$gte": 2000}, "lang": "en"}, as vecgate's.

A condition on a missing field is false; $ne, $nin and $not are plain negation, so they are also true of documents without
the field. A string equals a list of strings that contains it. A nested value is reached by its path: "source.page".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_, or_
from typing import Any, TypeAlias

from vecgate.errors import InvalidArgumentError
from vecgate.filters import Filter, field

StoreFilter: TypeAlias = Filter | str | Mapping[str, Any]
"""A vecgate filter, its text form, or a dictionary."""

COMPARISONS: dict[str, Callable[[str, Any], Filter]] = {
    "$eq": lambda name, value: field(name) == value,
    "$ne": lambda name, value: field(name) != value,
    "$gt": lambda name, value: field(name) > value,
    "$gte": lambda name, value: field(name) >= value,
    "$lt": lambda name, value: field(name) < value,
    "$lte": lambda name, value: field(name) <= value,
    "$in": lambda name, values: field(name).isin(values),
    "$nin": lambda name, values: ~field(name).isin(values),
    "$exists": lambda name, present: field(name).exists(present=bool(present)),
}
"""Operator → what it makes of a field and its operand."""
LISTS = ("$in", "$nin")


def store_filter(given: StoreFilter | None) -> Filter | str | None:
    """Translate a filter in any of its forms; None and an empty dictionary are no filter.

    Raises:
        InvalidArgumentError: at the place of what is no filter.
    """
    if given is None or isinstance(given, Filter | str):
        return given
    if not isinstance(given, Mapping):
        raise InvalidArgumentError.at("filter", f"expected a dictionary, a string or a Filter, got {given!r}")
    return _members(given, "filter") if given else None


def _members(members: object, path: str) -> Filter:
    if not isinstance(members, Mapping) or not members:
        raise InvalidArgumentError.at(path, f"expected a dictionary that is not empty, got {members!r}")
    return reduce(and_, [_member(name, value, path) for name, value in members.items()])


def _member(name: str, value: Any, path: str) -> Filter:
    here = f"{path}[{name!r}]"
    match name:
        case "$and" | "$or":
            if not isinstance(value, list | tuple) or not value:
                raise InvalidArgumentError.at(here, f"expected a list of at least one filter, got {value!r}")
            parts = [_members(part, f"{here}[{index}]") for index, part in enumerate(value)]
            return reduce(and_ if name == "$and" else or_, parts)
        case "$not":
            return ~_members(value, here)
        case str() if name.startswith("$"):
            raise InvalidArgumentError.at(path, f"unknown operator {name!r}; there are $and, $or and $not")
        case str():
            return _condition(name, value, here)
        case _:
            raise InvalidArgumentError.at(path, f"the field name {name!r} is not a string")


def _condition(name: str, value: Any, path: str) -> Filter:
    if not isinstance(value, Mapping):
        return _comparison(name, "$eq", value, path)
    if not value:
        raise InvalidArgumentError.at(path, 'expected a value, or operators such as {"$gte": 2000}')
    return reduce(and_, [_comparison(name, operator, operand, path) for operator, operand in value.items()])


def _comparison(name: str, operator: str, operand: Any, path: str) -> Filter:
    if operator not in COMPARISONS:
        raise InvalidArgumentError.at(
            path, f"unknown operator {operator!r}; there are {', '.join(COMPARISONS)}; a nested value is named 'a.b'"
        )
    if operator in LISTS:
        if not isinstance(operand, list | tuple) or not operand:
            raise InvalidArgumentError.at(f"{path}[{operator!r}]", f"expected a list of at least one, got {operand!r}")
    elif operand is None or isinstance(operand, list | tuple | Mapping):
        raise InvalidArgumentError.at(
            path, f"{operand!r} is no single value; $in takes several, and $exists asks whether there is any"
        )
    return COMPARISONS[operator](name, operand)
