"""Filters and selectors from the wire. Checked while they are read: a filter that is not whole has no meaning to translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vecgate.v1 import filter_pb2
from vecgate.v1.metadata_pb2 import Value
from vecgate_backends import filter_text
from vecgate_backends.contract import ByFilter, ByIds, Everything, Selector
from vecgate_backends.errors import FieldViolation, FilterSyntaxError, FilterTypeError, InvalidArgumentError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Scalar
from vecgate_backends.records import Timestamp
from vecgate_server.errors import LimitExceededError
from vecgate_server.translate.metadata import value_from_wire
from vecgate_server.validate import argument_rules, metadata_rules

if TYPE_CHECKING:
    from vecgate_server.config import LimitSettings

_ORDERS: Mapping[str, Order] = {"gt": Order.GT, "gte": Order.GTE, "lt": Order.LT, "lte": Order.LTE}


def filter_from_wire(message: filter_pb2.Filter, path: str, limits: LimitSettings) -> Filter:
    """Read a filter.

    Raises:
        InvalidArgumentError: something is unset or empty, with its path.
        FilterTypeError: an operand has a type its test does not take.
        FilterSyntaxError: an expression cannot be parsed.
        LimitExceededError: it is nested too deep or has too many conditions and listed values.
    """
    node = _node(message, path)
    depth, terms = _measure(node)
    if depth > limits.max_filter_depth:
        raise LimitExceededError.at(
            path, f"is nested {depth} deep; limits.max_filter_depth is {limits.max_filter_depth}"
        )
    argument_rules.at_most(terms, path, "max_filter_terms", limits.max_filter_terms, what="conditions and values")
    return node


def selector_from_wire(message: filter_pb2.Selector, path: str, limits: LimitSettings) -> Selector:
    """Read a selector; one of ids, filter and all must be set, and all must be true."""
    match message.WhichOneof("selection"):
        case "ids":
            return ByIds(argument_rules.record_ids(message.ids.ids, f"{path}.ids.ids"))
        case "filter":
            return ByFilter(filter_from_wire(message.filter, f"{path}.filter", limits))
        case "all" if message.all:
            return Everything()
        case "all":
            raise InvalidArgumentError.at(f"{path}.all", "must be true where it is set")
        case _:
            raise InvalidArgumentError.at(path, "set one of ids, filter and all")


def _node(message: filter_pb2.Filter, path: str) -> Filter:
    match message.WhichOneof("node"):
        case "all_of":
            return And(_children(message.all_of, f"{path}.all_of.filters"))
        case "any_of":
            return Or(_children(message.any_of, f"{path}.any_of.filters"))
        case "negation":
            return Not(_node(message.negation, f"{path}.negation"))
        case "condition":
            return _condition(message.condition, f"{path}.condition")
        case "expression":
            return _expression(message.expression, f"{path}.expression")
        case _:
            raise InvalidArgumentError.at(path, "is empty; leave it out to select every record")


def _children(message: filter_pb2.FilterList, path: str) -> tuple[Filter, ...]:
    if not message.filters:
        raise InvalidArgumentError.at(path, "must hold at least one filter")
    return tuple(_node(child, f"{path}[{position}]") for position, child in enumerate(message.filters))


def _condition(message: filter_pb2.Condition, path: str) -> Filter:
    field = metadata_rules.field_name(message.field, f"{path}.field")
    test = message.WhichOneof("test")
    match test:
        case "eq":
            return Eq(field, _scalar(message.eq, f"{path}.eq"))
        case "in_list":
            values = f"{path}.in_list.values"
            if not message.in_list.values:
                raise InvalidArgumentError.at(values, "must hold at least one value")
            return In(
                field, tuple(_scalar(value, f"{values}[{row}]") for row, value in enumerate(message.in_list.values))
            )
        case "exists":
            return Exists(field, message.exists)
        case "gt" | "gte" | "lt" | "lte":
            return _compare(field, _ORDERS[test], _scalar(getattr(message, test), f"{path}.{test}"), f"{path}.{test}")
        case _:
            raise InvalidArgumentError.at(path, "set one test, such as eq")


def _compare(field: str, order: Order, operand: Scalar, path: str) -> Compare:
    if isinstance(operand, bool) or not isinstance(operand, int | float | Timestamp):
        given = "boolean" if isinstance(operand, bool) else "string"
        raise FilterTypeError.at(path, f"takes a number or a timestamp, not a {given}")
    return Compare(field, order, operand)


def _scalar(message: Value, path: str) -> Scalar:
    metadata_rules.value(message, path)
    value = value_from_wire(message)
    if isinstance(value, tuple):
        raise FilterTypeError.at(path, "takes one value, not a list; eq with a string means 'contains' on a list")
    return value


def _expression(text: str, path: str) -> Filter:
    try:
        return filter_text.parse(text)
    except (FilterSyntaxError, FilterTypeError) as fault:
        raise type(fault)(f"{path}: {fault.message}", violations=[FieldViolation(path, fault.message)]) from None


def _measure(node: Filter) -> tuple[int, int]:
    """Return how deep a filter is nested and how many conditions and listed values it has."""
    deepest, terms = 0, 0
    pending: list[tuple[Filter, int]] = [(node, 1)]
    while pending:
        here, depth = pending.pop()
        deepest = max(deepest, depth)
        match here:
            case And(children) | Or(children):
                pending += [(child, depth + 1) for child in children]
            case Not(child):
                pending.append((child, depth + 1))
            case In(_, values):
                terms += len(values)
            case _:
                terms += 1
    return deepest, terms
