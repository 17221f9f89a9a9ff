"""Filters and selectors → messages."""

from __future__ import annotations

from collections.abc import Sequence

from vecgate.errors import InvalidArgumentError
from vecgate.filters import AllOf, AnyOf, Comparison, Existence, Expression, Filter, Membership, Negation
from vecgate.v1 import filter_pb2, metadata_pb2
from vecgate.wire.values import value_message


def filter_message(node: Filter | str, path: str = "filter") -> filter_pb2.Filter:
    """Translate a filter, or its text form.

    Raises:
        InvalidArgumentError: at `path`: an operand of a type the API has no place for, or no filter at all.
    """
    match node:
        case str():
            return filter_pb2.Filter(expression=node)
        case Expression(text):
            return filter_pb2.Filter(expression=text)
        case AllOf(children):
            return filter_pb2.Filter(all_of=_list_message(children, f"{path}.all_of"))
        case AnyOf(children):
            return filter_pb2.Filter(any_of=_list_message(children, f"{path}.any_of"))
        case Negation(child):
            return filter_pb2.Filter(negation=filter_message(child, f"{path}.negation"))
        case Comparison() | Membership() | Existence():
            return filter_pb2.Filter(condition=_condition_message(node, f"{path}.condition"))
        case _:
            raise InvalidArgumentError.at(
                path, f'expected a filter, such as field("year") >= 2000, or a string, got {type(node).__name__}'
            )


def optional_filter_message(node: Filter | str | None, path: str = "filter") -> filter_pb2.Filter | None:
    """Translate a filter that need not be there; as filter_message."""
    return None if node is None else filter_message(node, path)


def selector_message(
    ids: Sequence[str] | None,
    filter: Filter | str | None,  # noqa: A002  # the domain's word
    all: bool,  # noqa: A002  # the domain's word
) -> filter_pb2.Selector:
    """Build a selector of exactly one kind.

    Raises:
        InvalidArgumentError: none or several of the three were given, or `ids` is no list of strings.
    """
    if (ids is not None) + (filter is not None) + bool(all) != 1:
        raise InvalidArgumentError.at("selector", "give exactly one of ids, filter and all=True")
    if ids is not None:
        return filter_pb2.Selector(ids=filter_pb2.IdList(ids=name_list(ids, "selector.ids.ids")))
    if filter is not None:
        return filter_pb2.Selector(filter=filter_message(filter, "selector.filter"))
    return filter_pb2.Selector(all=True)


def name_list(names: Sequence[str], path: str) -> list[str]:
    """Check a list of ids or field names; it may be empty.

    Raises:
        InvalidArgumentError: it is a single string, or holds something else than strings.
    """
    if isinstance(names, str):
        raise InvalidArgumentError.at(path, f"expected a sequence of strings, got one; write [{names!r}]")
    checked = list(names)
    for index, name in enumerate(checked):
        if not isinstance(name, str):
            raise InvalidArgumentError.at(f"{path}[{index}]", f"expected a string, this is {type(name).__name__}")
    return checked


def _list_message(children: Sequence[Filter], path: str) -> filter_pb2.FilterList:
    return filter_pb2.FilterList(
        filters=[filter_message(child, f"{path}.filters[{index}]") for index, child in enumerate(children)]
    )


def _condition_message(node: Comparison | Membership | Existence, path: str) -> filter_pb2.Condition:
    condition = filter_pb2.Condition(field=node.field)
    match node:
        case Existence():
            condition.exists = node.present
        case Membership():
            values = [value_message(value, f"{path}.in_list.values[{i}]") for i, value in enumerate(node.values)]
            condition.in_list.CopyFrom(metadata_pb2.ValueList(values=values))
        case Comparison():
            operand = value_message(node.value, f"{path}.{node.relation}")
            getattr(condition, node.relation).CopyFrom(operand)
    return condition
