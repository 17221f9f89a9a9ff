"""Values of one type that have an order, with the versions that have them: two sorted columns, 16 bytes a pair."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from vecgate_backends.filters import Order, Scalar, ValueKey
from vecgate_backends.records import Timestamp

InternalIds: TypeAlias = NDArray[np.int64]

PREFIXES = 32
"""Bitmaps of the first 1/32, 2/32, ... of a column, 4 bytes a pair in all: a range is two of them, and less than 1/16 counted out."""
LEAST_PREFIXED = 4096
"""Pairs from which a column has prefixes; fewer are counted out within half a millisecond."""
_NANOS = 10**9


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type of values that fits a column.

    Attributes:
        kind: of their ValueKey. python: their Python type. dtype: of the column. pack, unpack: a value to a number of the column and back.
        least, most: bounds of the packed number, both within.
    """

    kind: str
    python: type
    dtype: np.dtype[Any]
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Scalar]
    least: float
    most: float

    def fits(self, value: Any) -> bool:
        """Whether a value of its Python type can stand in the column."""
        return bool(self.least <= self.pack(value) <= self.most)


def _nanoseconds(value: Timestamp) -> int:
    return value.seconds * _NANOS + value.nanos


def _timestamp(nanoseconds: Any) -> Timestamp:
    return Timestamp(*divmod(int(nanoseconds), _NANOS))


_LEAST, _MOST = -(2**63), 2**63 - 1
COLUMN_TYPES: Mapping[str, ColumnType] = MappingProxyType(
    {
        "integer": ColumnType("number", int, np.dtype("<i8"), int, int, _LEAST, _MOST),
        "double": ColumnType("number", float, np.dtype("<f8"), float, float, -np.inf, np.inf),
        # As nanoseconds since 1970, which reach from 1677 to 2262; others stay outside.
        "timestamp": ColumnType("timestamp", Timestamp, np.dtype("<i8"), _nanoseconds, _timestamp, _LEAST, _MOST),
    }
)
"""Name in snapshots → type. Integers and doubles have columns of their own, so that each stays exact and comes back as what it was."""
TYPE_NAMES: Mapping[type, str] = MappingProxyType({each.python: name for name, each in COLUMN_TYPES.items()})


@dataclass(frozen=True, slots=True)
class OrderedColumn:
    """Pairs of value and version, ascending by value; never changed.

    Attributes:
        of: the type of the values. values: packed, shape (pairs,). internal_ids: shape (pairs,), each at most once.
    """

    of: ColumnType
    values: NDArray[Any]
    internal_ids: InternalIds
    _prefixes: Sequence[BitMap64] = field(default=(), repr=False, compare=False)

    def prefixed(self) -> OrderedColumn:
        """Return the column with prefixes, for ranges to be found fast in it, if it is long enough; a second a few million pairs."""
        if self._prefixes or len(self) < LEAST_PREFIXED:
            return self
        prefixes: list[BitMap64] = []
        so_far = BitMap64()
        for begin, end in pairwise(self._ends()):
            so_far = so_far | bitmap(self.internal_ids[begin:end])
            prefixes.append(so_far)
        return OrderedColumn(self.of, self.values, self.internal_ids, prefixes)

    @classmethod
    def of_pairs(cls, of: ColumnType, packed: Sequence[Any] | NDArray[Any], internal_ids: InternalIds) -> OrderedColumn:
        """Make the column of pairs that come in any order."""
        values = np.asarray(packed, of.dtype)
        order = np.argsort(values, kind="stable")
        return cls(of, values[order], internal_ids[order])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def distinct(self) -> int:
        """Distinct values."""
        return int(np.count_nonzero(self.values[1:] != self.values[:-1])) + 1 if len(self) else 0

    def equal(self, value: Scalar) -> BitMap64:
        """Return the versions with this value, of the kind of the column but of any type."""
        begin, end = self._place(bisect_left, value), self._place(bisect_right, value)
        return bitmap(self.internal_ids[begin:end])

    def compared(self, order: Order, bound: Scalar) -> BitMap64:
        """Return the versions whose value stands in this order to a bound of the kind of the column, whatever its type."""
        side, upwards = _ENDS[order]
        place = self._place(side, bound)
        return self._between(place, len(self)) if upwards else self._between(0, place)

    def without(self, gone: BitMap64) -> OrderedColumn:
        """Return the column without some versions."""
        if not gone:
            return self
        kept = ~contained(self.internal_ids, gone)
        return OrderedColumn(self.of, self.values[kept], self.internal_ids[kept])

    def joined(self, other: OrderedColumn) -> OrderedColumn:
        """Return the column of the pairs of both, which are of one type."""
        return OrderedColumn.of_pairs(
            self.of,
            np.concatenate([self.values, other.values]),
            np.concatenate([self.internal_ids, other.internal_ids]),
        )

    def counts(self, selected: BitMap64) -> Iterator[tuple[ValueKey, int]]:
        """Yield each value that selected versions have, with how many."""
        values = self.values[contained(self.internal_ids, selected)]
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            yield (self.of.kind, self.of.unpack(value)), int(count)

    def _place(self, side: Callable[..., int], value: Scalar) -> int:
        # Python compares integers and doubles exactly, whatever their size; NumPy would round the one to the other.
        operand = value if self.of.kind == "number" else self.of.pack(value)
        return side(self.values, operand, key=self.of.dtype.type.item)

    def _ends(self) -> list[int]:
        return [len(self) * part // PREFIXES for part in range(PREFIXES + 1)]

    def _between(self, begin: int, end: int) -> BitMap64:
        """Return the versions of pairs; one of the ends is that of the column."""
        if not self._prefixes:
            return bitmap(self.internal_ids[begin:end])
        if begin:
            return self._prefixes[-1] - self._between(0, begin)
        ends = self._ends()
        part = bisect_right(ends, end) - 1
        rest = bitmap(self.internal_ids[ends[part] : end])
        return rest if not part else self._prefixes[part - 1] | rest


def bitmap(internal_ids: InternalIds) -> BitMap64:
    """Return versions as a bitmap."""
    return BitMap64(
        array("Q", internal_ids.astype(np.uint64).tobytes())
    )  # of what pyroaring takes, an array is fastest


def versions(of: BitMap64) -> InternalIds:
    """Return the versions of a bitmap, ascending."""
    return np.frombuffer(of.to_array(), np.uint64).astype(np.int64)


def contained(internal_ids: InternalIds, in_bitmap: BitMap64) -> NDArray[np.bool_]:
    """Return of each version whether it is in a bitmap."""
    return np.isin(internal_ids, versions(in_bitmap))


_ENDS: Mapping[Order, tuple[Callable[..., int], bool]] = MappingProxyType(
    {
        Order.GT: (bisect_right, True),
        Order.GTE: (bisect_left, True),
        Order.LT: (bisect_left, False),
        Order.LTE: (bisect_right, False),
    }
)
"""Order → where the bound stands among the values, and whether the greater ones pass."""
