"""What the store says of a field of meta, apart from the calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from haystack import Document

from vecgate.filters import Filter, field
from vecgate.haystack.filter_translation import is_composite
from vecgate.nested_metadata import pythonic
from vecgate.results import FieldStats


def field_name(metadata_field: str) -> str:
    """Take "meta." off the name of a field."""
    return metadata_field.removeprefix("meta.")


def composite(necessary: Filter | None, name: str) -> Filter:
    """Narrow a selection to records in which a field is a list or a dictionary."""
    return is_composite(name) if necessary is None else necessary & is_composite(name)


def is_number(name: str) -> Filter:
    """Match records in which a field is a number."""
    return (field(name) < 0) | (field(name) >= 0)


def values_in(stats: FieldStats) -> list[Any] | None:
    """Return the distinct values; None: the statistics do not tell them all, or tell 1 and 1.0 as one."""
    if stats.numbers is not None or stats.distinct > len(stats.values):
        return None
    return [pythonic(value) for value, _ in stats.values]


def values_of(documents: Iterable[Document], name: str) -> list[Any]:
    """Return the distinct values of a field, as Haystack tells them apart: by type, too."""
    distinct: dict[tuple[str, str], Any] = {}
    for document in documents:
        value = document.meta.get(name)
        if value is not None:
            key = json.dumps(value, sort_keys=True, default=str)
            distinct.setdefault((type(value).__name__, key), value)
    return list(distinct.values())


def page_of(values: Sequence[Any], search_term: str | None, from_: int, size: int) -> tuple[list[Any], int]:
    """Return a page of values in the order of their text, and how many there are in all.

    Args:
        values: distinct.
        search_term: only those whose text contains it, in any case.
        from_: how many to leave out.
        size: how many to return at most.
    """
    kept = [value for value in values if search_term is None or search_term.lower() in str(value).lower()]
    ordered = sorted(kept, key=lambda value: (str(value), type(value).__name__))
    return ordered[from_ : from_ + size], len(kept)


def span_of(values: Iterable[Any]) -> dict[str, Any]:
    """Return the smallest and the largest of numbers, strings or datetimes; None if there are none, or of several kinds."""
    ordered = [value for value in values if isinstance(value, int | float | str | datetime)]
    try:
        return {"min": min(ordered, default=None), "max": max(ordered, default=None)}
    except TypeError:
        return {"min": None, "max": None}


def types_in(documents: Iterable[Document]) -> dict[str, dict[str, str]]:
    """Return the type of each field of meta: boolean, int, float or keyword."""
    names = {bool: "boolean", int: "int", float: "float"}
    return {
        name: {"type": names.get(type(value), "keyword")}
        for document in documents
        for name, value in document.meta.items()
        if value is not None
    }
