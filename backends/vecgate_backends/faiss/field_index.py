"""The values of one metadata field and the versions that have each, as bitmaps of internal ids."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from pyroaring import BitMap64

from vecgate_backends.filters import Compare, Eq, In, Order, Scalar, ValueKey, value_key

Postings: TypeAlias = int | BitMap64
"""The versions that have a value: a bitmap, or the one internal id itself, since a bitmap takes some hundred bytes."""

ORDERED_KINDS = frozenset({"number", "timestamp"})
"""Kinds of ValueKey that range conditions take."""
FEW = 64
"""Up to so many new values are inserted one by one into the sorted ones; more are sorted in."""

RANGES: Mapping[Order, Callable[[list[Any], Any], list[Any]]] = MappingProxyType(
    {
        Order.GT: lambda values, bound: values[bisect_right(values, bound) :],
        Order.GTE: lambda values, bound: values[bisect_left(values, bound) :],
        Order.LT: lambda values, bound: values[: bisect_left(values, bound)],
        Order.LTE: lambda values, bound: values[: bisect_right(values, bound)],
    }
)
"""Order → (sorted values, operand) → those that pass. Python compares integers and floats exactly, whatever their size."""


class FieldIndex:
    """One field over the live versions of a partition."""

    def __init__(self) -> None:
        self._having = BitMap64()
        self._postings: dict[ValueKey, Postings] = {}
        self._ordered: dict[str, list[Any]] = {kind: [] for kind in ORDERED_KINDS}

    @property
    def having(self) -> BitMap64:
        """The versions that have the field; not to be changed."""
        return self._having

    def add(self, values: Mapping[ValueKey | None, list[int]]) -> None:
        """Take in versions by value; None stands for an empty list, which is a field without a value."""
        fresh: dict[str, list[Scalar]] = {kind: [] for kind in ORDERED_KINDS}
        for key, internal_ids in values.items():
            self._having.update(internal_ids)
            if key is not None:
                if key not in self._postings and key[0] in ORDERED_KINDS:
                    fresh[key[0]].append(key[1])
                self._postings[key] = _with(self._postings.get(key), internal_ids)
        for kind, added in fresh.items():
            _insert(self._ordered[kind], added)

    def remove(self, values: Mapping[ValueKey | None, list[int]]) -> None:
        """Forget versions, which were added with these values."""
        for key, internal_ids in values.items():
            gone = BitMap64(internal_ids)
            self._having.difference_update(gone)
            if key is not None:
                postings = self._postings[key]
                if not isinstance(postings, int):
                    postings.difference_update(gone)
                if isinstance(postings, int) or not postings:
                    self._forget(key)

    def passing(self, condition: Eq | In | Compare) -> BitMap64:
        """Return the versions that pass a condition."""
        return _united(self._postings[key] for key in self._keys(condition) if key in self._postings)

    def counts(self, selected: BitMap64) -> Iterable[tuple[ValueKey, int]]:
        """Yield each value that selected versions have, with how many."""
        for key, postings in self._postings.items():
            if isinstance(postings, int):
                count = int(postings in selected)
            else:
                count = postings.intersection_cardinality(selected)
            if count:
                yield key, count

    def _keys(self, condition: Eq | In | Compare) -> Iterable[ValueKey]:
        match condition:
            case Eq(_, value):
                return [value_key(value)]
            case In(_, values):
                return {value_key(value) for value in values}
            case Compare(_, order, operand):
                kind, _ = value_key(operand)
                return [(kind, value) for value in RANGES[order](self._ordered.get(kind, []), operand)]

    def _forget(self, key: ValueKey) -> None:
        del self._postings[key]
        kind, value = key
        if kind in ORDERED_KINDS:
            values = self._ordered[kind]
            del values[bisect_left(values, value)]


def _insert(ordered: list[Any], added: Sequence[Any]) -> None:
    if len(added) > FEW:
        ordered.extend(added)
        ordered.sort()
        return
    for value in added:
        ordered.insert(bisect_left(ordered, value), value)


def _with(postings: Postings | None, added: list[int]) -> Postings:
    if postings is None:
        return added[0] if len(added) == 1 else BitMap64(added)
    if isinstance(postings, int):
        return BitMap64([postings, *added])
    postings.update(added)
    return postings


def _united(found: Iterable[Postings]) -> BitMap64:
    single: list[int] = []
    bitmaps: list[BitMap64] = []
    for postings in found:
        if isinstance(postings, int):
            single.append(postings)
        else:
            bitmaps.append(postings)
    return BitMap64.union(BitMap64(single), *bitmaps)
