"""Filters and selectors from the wire. Checked while they are read: a filter that is not whole has no meaning to translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from vecgate.v1 import filter_pb2
from vecgate.v1.metadata_pb2 import Value, ValueList
from vecgate_backends import filter_text
from vecgate_backends.contract import ByFilter, ByIds, Everything, Selector
from vecgate_backends.errors import FieldViolation, FilterSyntaxError, FilterTypeError, InvalidArgumentError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Scalar
from vecgate_backends.records import Timestamp
from vecgate_server.errors import LimitExceededError
from vecgate_server.translate.metadata import value_from_wire
from vecgate_server.validate import argument_rules, metadata_rules

if TYPE_CHECKING:
    from vecgate_server.config_limits import LimitSettings

_ORDERS: Mapping[str, Order] = {"gt": Order.GT, "gte": Order.GTE, "lt": Order.LT, "lte": Order.LTE}


def filter_from_wire(message: filter_pb2.Filter, path: str, limits: LimitSettings) -> Filter:
    """Read a filter.

    Raises:
        InvalidArgumentError: something is unset or empty, with its path.
        FilterTypeError: an operand has a type its test does not take.
        FilterSyntaxError: an expression cannot be parsed.
        LimitExceededError: it is nested too deep or has too many conditions and listed values.
    """
    node = _FilterReader(path, limits).node(message, path)
    depth, _ = _measure(node)
    if depth > limits.max_filter_depth:
        raise LimitExceededError.at(
            path, f"is nested {depth} deep; limits.max_filter_depth is {limits.max_filter_depth}"
        )
    return node


def selector_from_wire(
    message: filter_pb2.Selector, path: str, limits: LimitSettings, *, ids_limit: str = "max_batch"
) -> Selector:
    """Read a selector; one of ids, filter and all must be set, and all must be true.

    Args:
        message: what was sent.
        path: where, from the request's root.
        limits: the configured bounds.
        ids_limit: the name of the limit for the number of ids.

    Raises:
        InvalidArgumentError: it selects nothing in so many words, or an id is malformed.
        LimitExceededError: it names too many ids.
    """
    match message.WhichOneof("selection"):
        case "ids":
            ids, where = message.ids.ids, f"{path}.ids.ids"
            argument_rules.at_most(len(ids), where, ids_limit, getattr(limits, ids_limit), what="ids")
            return ByIds(argument_rules.record_ids(ids, where))
        case "filter":
            return ByFilter(filter_from_wire(message.filter, f"{path}.filter", limits))
        case "all" if message.all:
            return Everything()
        case "all":
            raise InvalidArgumentError.at(f"{path}.all", "must be true where it is set")
        case _:
            raise InvalidArgumentError.at(path, "set one of ids, filter and all")


class _FilterReader:
    """Reads one filter and counts its terms, so that one of millions is refused before the rest of it is read."""

    def __init__(self, root: str, limits: LimitSettings) -> None:
        self._root = root
        self._most_terms = limits.max_filter_terms
        self._terms = 0

    def node(self, message: filter_pb2.Filter, path: str) -> Filter:
        match message.WhichOneof("node"):
            case "all_of":
                return And(self._children(message.all_of, f"{path}.all_of.filters"))
            case "any_of":
                return Or(self._children(message.any_of, f"{path}.any_of.filters"))
            case "negation":
                return Not(self.node(message.negation, f"{path}.negation"))
            case "condition":
                return self._condition(message.condition, f"{path}.condition")
            case "expression":
                node = _expression(message.expression, f"{path}.expression")
                self._count(_measure(node)[1])
                return node
            case _:
                raise InvalidArgumentError.at(path, "is empty; leave it out to select every record")

    def _children(self, message: filter_pb2.FilterList, path: str) -> tuple[Filter, ...]:
        if not message.filters:
            raise InvalidArgumentError.at(path, "must hold at least one filter")
        return tuple(self.node(child, f"{path}[{position}]") for position, child in enumerate(message.filters))

    def _condition(self, message: filter_pb2.Condition, path: str) -> Filter:
        field = metadata_rules.field_name(message.field, f"{path}.field")
        test = message.WhichOneof("test")
        self._count(len(message.in_list.values) if test == "in_list" else 1)
        match test:
            case "eq":
                return Eq(field, _scalar(message.eq, f"{path}.eq"))
            case "in_list":
                return In(field, _scalars(message.in_list, f"{path}.in_list.values"))
            case "exists":
                return Exists(field, message.exists)
            case "gt" | "gte" | "lt" | "lte":
                operand = f"{path}.{test}"
                return _compare(field, _ORDERS[test], _scalar(getattr(message, test), operand), operand)
            case _:
                raise InvalidArgumentError.at(path, "set one test, such as eq")

    def _count(self, terms: int) -> None:
        self._terms += terms
        argument_rules.at_most(
            self._terms, self._root, "max_filter_terms", self._most_terms, what="or more conditions and values"
        )


def _compare(field: str, order: Order, operand: Scalar, path: str) -> Compare:
    if isinstance(operand, bool) or not isinstance(operand, int | float | Timestamp):
        given = "boolean" if isinstance(operand, bool) else "string"
        raise FilterTypeError.at(path, f"takes a number or a timestamp, not a {given}")
    return Compare(field, order, operand)


def _scalars(message: ValueList, path: str) -> tuple[Scalar, ...]:
    if not message.values:
        raise InvalidArgumentError.at(path, "must hold at least one value")
    return tuple(_scalar(value, f"{path}[{position}]") for position, value in enumerate(message.values))


def _scalar(message: Value, path: str) -> Scalar:
    if message.HasField("string_list_value"):
        raise FilterTypeError.at(path, "takes one value, not a list; eq with a string means 'contains' on a list")
    metadata_rules.value(message, path)
    return cast("Scalar", value_from_wire(message))  # of all kinds only a list is no scalar


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
