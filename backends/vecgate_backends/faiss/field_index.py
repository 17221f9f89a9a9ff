"""The values of one metadata field and the versions that have each.

Values that many versions share have a bitmap each, as all of them have at first. Numbers and timestamps that few share are folded into
sorted columns from time to time: a bitmap and its key take some hundred bytes, a pair of a column 16, and a range of a column is found
without looking at its values.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from pyroaring import BitMap64

from vecgate_backends.faiss.ordered_column import COLUMN_TYPES, TYPE_NAMES, OrderedColumn
from vecgate_backends.filters import Compare, Eq, In, Order, Scalar, ValueKey, value_key

Postings: TypeAlias = int | BitMap64
"""The versions that have a value: a bitmap, or the one internal id itself, since a bitmap takes some hundred bytes.

A bitmap is never changed but replaced, so that copies of an index share it.
"""

ORDERED_KINDS = frozenset({"number", "timestamp"})
"""Kinds of ValueKey that range conditions take."""
FEW = 64
"""Up to so many values are inserted one by one into the sorted ones, or taken out; more are sorted in, or sifted out."""
FOLDED_VERSIONS = 32
"""A value that more versions share keeps its bitmap."""
LEAST_FOLDED = 4096
"""Values outside the columns from which these are made anew."""
FOLDED_SHARE = 0.25
"""Share of the pairs in columns that must have come since, so that each is sorted in a logarithmic number of times."""

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
    """One field over the live versions of a partition.

    Attributes:
        having: the versions that have the field; not to be changed from outside. postings: values outside the columns.
        columns: by name of their type.
    """

    __slots__ = ("_gone", "_ordered", "_settled", "columns", "having", "postings")

    def __init__(self) -> None:
        self.having = BitMap64()
        self.postings: dict[ValueKey, Postings] = {}
        self.columns: dict[str, OrderedColumn] = {}
        self._ordered: dict[str, list[Any]] = {}  # kind → sorted values outside the columns
        self._settled = 0  # how many of them stay there for good
        self._gone: BitMap64 | None = None  # versions whose pairs in columns do not count any more

    def __len__(self) -> int:
        """Distinct values, about."""
        return len(self.postings) + sum(column.distinct for column in self.columns.values())

    @classmethod
    def of(
        cls,
        having: BitMap64,
        postings: dict[ValueKey, Postings],
        columns: Mapping[str, OrderedColumn],
        *,
        searched: bool = True,
    ) -> FieldIndex:
        """Return the index of these values; it takes over what it is given. If it is not to be `searched`, columns stay without prefixes."""
        made = cls()
        made.having, made.postings = having, postings
        made.columns = {name: column.prefixed() if searched else column for name, column in columns.items()}
        for kind, value in postings:
            if kind in ORDERED_KINDS:
                made._ordered.setdefault(kind, []).append(value)
        for values in made._ordered.values():
            values.sort()
        made._settled = sum(map(len, made._ordered.values()))
        return made

    def copy(self) -> FieldIndex:
        """Return an index that changes on its own; about 10 ns a value outside the columns."""
        copied = FieldIndex()
        copied.having = self.having.copy()
        copied.postings = self.postings.copy()
        copied.columns = self.columns.copy()
        copied._ordered = {kind: values.copy() for kind, values in self._ordered.items()}
        copied._settled = self._settled
        copied._gone = None if self._gone is None else self._gone.copy()
        return copied

    def add(self, values: Mapping[ValueKey | None, list[int]]) -> None:
        """Take in versions by value; None stands for an empty list, which is a field without a value."""
        fresh: dict[str, list[Scalar]] = {}
        for key, internal_ids in values.items():
            self.having.update(internal_ids)
            if key is not None:
                if key not in self.postings and key[0] in ORDERED_KINDS:
                    fresh.setdefault(key[0], []).append(key[1])
                self.postings[key] = _with(self.postings.get(key), internal_ids)
        for kind, added in fresh.items():
            _insert(self._ordered.setdefault(kind, []), added)

    def remove(self, values: Mapping[ValueKey | None, list[int]]) -> None:
        """Forget versions, which were added with these values."""
        gone = BitMap64(chain.from_iterable(values.values()))
        self.having.difference_update(gone)
        if self.columns:
            self._gone = gone.copy() if self._gone is None else self._gone | gone
        empty: dict[str, list[Scalar]] = {}
        for key in values:
            held = None if key is None else self.postings.get(key)
            if key is None or held is None:
                continue
            left = _without(held, gone)
            if left is not None:
                self.postings[key] = left
                continue
            del self.postings[key]
            if key[0] in ORDERED_KINDS:
                empty.setdefault(key[0], []).append(key[1])
        for kind, removed in empty.items():
            _take_out(self._ordered[kind], removed)

    def without(self, gone: BitMap64) -> FieldIndex:
        """Return an index without some versions, whatever values they have; looks at every value."""
        left = ((key, _without(held, gone)) for key, held in self.postings.items())
        kept = {key: held for key, held in left if held is not None}
        columns = {name: column.without(self._lost | gone) for name, column in self.columns.items()}
        return FieldIndex.of(self.having - gone, kept, columns)

    def joined(self, other: FieldIndex) -> FieldIndex:
        """Return an index of both, which have no version in common."""
        postings = self.postings.copy()
        for key, held in other.postings.items():
            more = [held] if isinstance(held, int) else held
            postings[key] = _with(postings.get(key), more)
        columns = {name: column.without(self._lost) for name, column in self.columns.items()}
        for name, column in other.columns.items():
            added = column.without(other._lost)
            columns[name] = columns[name].joined(added) if name in columns else added
        return FieldIndex.of(self.having | other.having, postings, columns)

    @property
    def due(self) -> bool:
        """Whether so much came or went since the columns were made that they are to be made anew."""
        bound = max(LEAST_FOLDED, FOLDED_SHARE * sum(map(len, self.columns.values())))
        came = sum(map(len, self._ordered.values())) - self._settled
        return came >= bound or len(self._lost) >= bound

    def folded(self, *, searched: bool = True) -> FieldIndex:
        """Return an index that decides alike, with what belongs into columns there; `searched` as in of()."""
        pairs: dict[str, tuple[list[Any], list[int]]] = {name: ([], []) for name in COLUMN_TYPES}
        kept: dict[ValueKey, Postings] = {}
        for key, held in self.postings.items():
            name = TYPE_NAMES.get(type(key[1]))
            few = [held] if isinstance(held, int) else held if len(held) <= FOLDED_VERSIONS else None
            if name is None or few is None or not COLUMN_TYPES[name].fits(key[1]):
                kept[key] = held
                continue
            values, internal_ids = pairs[name]
            values.extend([COLUMN_TYPES[name].pack(key[1])] * len(few))
            internal_ids.extend(few)
        columns = {name: column.without(self._lost) for name, column in self.columns.items()}
        for name, (values, internal_ids) in pairs.items():
            if values:
                added = OrderedColumn.of_pairs(COLUMN_TYPES[name], values, np.array(internal_ids, np.int64))
                columns[name] = columns[name].joined(added) if name in columns else added
        columns = {name: column for name, column in columns.items() if len(column)}
        return FieldIndex.of(self.having.copy(), kept, columns, searched=searched)

    def passing(self, condition: Eq | In | Compare) -> BitMap64:
        """Return the versions that pass a condition."""
        outside = _united(self.postings[key] for key in self._keys(condition) if key in self.postings)
        if not self.columns:
            return outside
        return BitMap64.union(outside, *(found - self._lost for found in self._in_columns(condition)))

    def counts(self, selected: BitMap64) -> Iterable[tuple[ValueKey, int]]:
        """Return each value that selected versions have, with how many."""
        counted: dict[ValueKey, int] = {}
        for key, postings in self.postings.items():
            if isinstance(postings, int):
                count = int(postings in selected)
            else:
                count = postings.intersection_cardinality(selected)
            if count:
                counted[key] = count
        for column in self.columns.values():
            for key, count in column.counts(selected - self._lost):
                counted[key] = counted.get(key, 0) + count
        return counted.items()

    @property
    def _lost(self) -> BitMap64:
        return BitMap64() if self._gone is None else self._gone

    def _in_columns(self, condition: Eq | In | Compare) -> Iterator[BitMap64]:
        for column in self.columns.values():
            match condition:
                case Eq(_, value):
                    operands: Iterable[Scalar] = (value,)
                case In(_, values):
                    operands = values
                case Compare(_, order, bound):
                    if value_key(bound)[0] == column.of.kind:
                        yield column.compared(order, bound)
                    continue
            yield from (column.equal(value) for value in operands if value_key(value)[0] == column.of.kind)

    def _keys(self, condition: Eq | In | Compare) -> Iterable[ValueKey]:
        match condition:
            case Eq(_, value):
                return [value_key(value)]
            case In(_, values):
                return {value_key(value) for value in values}
            case Compare(_, order, operand):
                kind, _ = value_key(operand)
                return [(kind, value) for value in RANGES[order](self._ordered.get(kind, []), operand)]


def _insert(ordered: list[Any], added: Sequence[Any]) -> None:
    if len(added) > FEW:
        ordered.extend(added)
        ordered.sort()
        return
    for value in added:
        ordered.insert(bisect_left(ordered, value), value)


def _take_out(ordered: list[Any], removed: Sequence[Any]) -> None:
    if len(removed) > FEW:
        gone = set(removed)
        ordered[:] = [value for value in ordered if value not in gone]
        return
    for value in removed:
        del ordered[bisect_left(ordered, value)]


def _with(postings: Postings | None, added: Sequence[int] | BitMap64) -> Postings:
    if postings is None:
        return added[0] if len(added) == 1 else BitMap64(added)
    if isinstance(postings, int):
        return BitMap64([postings, *added])
    return postings | BitMap64(added)


def _without(postings: Postings, removed: BitMap64) -> Postings | None:
    if isinstance(postings, int):
        return None if postings in removed else postings
    return postings - removed or None


def _united(found: Iterable[Postings]) -> BitMap64:
    single: list[int] = []
    bitmaps: list[BitMap64] = []
    for postings in found:
        if isinstance(postings, int):
            single.append(postings)
        else:
            bitmaps.append(postings)
    return BitMap64.union(BitMap64(single), *bitmaps)
