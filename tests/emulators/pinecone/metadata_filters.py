"""Pinecone's metadata filters, compiled to functions of a record's metadata."""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt
from typing import Any

from emulators.pinecone.refusal import require

Test = Callable[[dict[str, Any]], bool]
RANGES = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}
MOST_LISTED_VALUES = 10_000


def compile_filter(expression: Any) -> Test:
    """Check a filter and compile it; an empty one lets everything through."""
    require(isinstance(expression, dict), "a filter must be an object")
    tests = [_member(key, value) for key, value in expression.items()]
    return lambda metadata: all(test(metadata) for test in tests)


def _member(key: str, value: Any) -> Test:
    if key in {"$and", "$or"}:
        require(isinstance(value, list) and bool(value), f"{key} takes a list of filters")
        require(all(isinstance(each, dict) and each for each in value), f"{key} takes a list of filters")
        tests = [compile_filter(each) for each in value]
        if key == "$and":
            return lambda metadata: all(test(metadata) for test in tests)
        return lambda metadata: any(test(metadata) for test in tests)
    require(not key.startswith("$"), f"{key} is not a valid field name")
    if not isinstance(value, dict):
        value = {"$eq": value}
    require(bool(value), f"the condition on {key} is empty")
    conditions = [_condition(key, operator, operand) for operator, operand in value.items()]
    return lambda metadata: all(condition(metadata) for condition in conditions)


def _condition(key: str, operator: str, operand: Any) -> Test:
    if operator == "$exists":
        require(isinstance(operand, bool), "$exists takes a boolean")
        return lambda metadata: (key in metadata) is operand
    element = _element_test(operator, operand)

    def holds(metadata: dict[str, Any]) -> bool:
        if key not in metadata:  # $ne and $nin skip records without the field
            return False
        stored = metadata[key]
        return any(map(element, stored)) if isinstance(stored, list) else element(stored)

    return holds


def _element_test(operator: str, operand: Any) -> Callable[[Any], bool]:
    if operator in RANGES:
        require(_is_number(operand), f"{operator} takes a number")
        compare = RANGES[operator]
        return lambda stored: _is_number(stored) and compare(stored, operand)
    if operator in {"$eq", "$ne"}:
        require(_is_scalar(operand), f"{operator} takes a string, a number or a boolean")
        wanted = _typed(operand)
        if operator == "$eq":
            return lambda stored: _typed(stored) == wanted
        return lambda stored: _typed(stored) != wanted
    require(operator in {"$in", "$nin"}, f"{operator} is not a valid operator")
    require(isinstance(operand, list) and bool(operand), f"{operator} takes a list")
    require(len(operand) <= MOST_LISTED_VALUES, f"{operator} takes at most {MOST_LISTED_VALUES} values")
    require(all(isinstance(each, str) or _is_number(each) for each in operand), f"{operator} takes strings or numbers")
    listed = {_typed(each) for each in operand}
    if operator == "$in":
        return lambda stored: _typed(stored) in listed
    return lambda stored: _typed(stored) not in listed


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or _is_number(value)


def _typed(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool):
        return ("bool", value)
    return ("number", float(value)) if _is_number(value) else ("string", value)
