"""The metadata of a partition, turned round: for each field and value the versions that have it, as bitmaps of internal ids.

It decides exactly as filters.matches does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from vecgate_backends.contract import FieldStats
from vecgate_backends.filters import (
    ORDERINGS,
    And,
    Compare,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    ValueKey,
    comparable,
    value_key,
    value_keys,
)
from vecgate_backends.records import Metadata, Timestamp

Postings: TypeAlias = int | BitMap64
"""The versions that have a value: a bitmap, or the one internal id itself, since a bitmap takes some hundred bytes."""


class MetadataIndex:
    """Metadata of live versions. Bitmaps that methods return belong to the caller."""

    def __init__(self) -> None:
        self._everything = BitMap64()
        self._having: dict[str, BitMap64] = {}
        self._postings: dict[str, dict[ValueKey, Postings]] = {}

    def __len__(self) -> int:
        return len(self._everything)

    def add(self, internal_ids: Sequence[int], metadata: Sequence[Metadata]) -> None:
        """Take in versions with their metadata."""
        self._everything.update(internal_ids)
        for field, keys in _grouped(internal_ids, metadata).items():
            postings = self._postings.setdefault(field, {})
            having = self._having.setdefault(field, BitMap64())
            for key, added in keys.items():
                having.update(added)
                if key is not None:
                    postings[key] = _with(postings.get(key), added)

    def remove(self, internal_ids: Sequence[int], metadata: Sequence[Metadata]) -> None:
        """Forget versions; `metadata` is what they were added with."""
        self._everything.difference_update(BitMap64(internal_ids))
        for field, keys in _grouped(internal_ids, metadata).items():
            for key, removed in keys.items():
                gone = BitMap64(removed)
                self._having[field].difference_update(gone)
                if key is not None:
                    _take_out(self._postings[field], key, gone)
            if not self._having[field]:
                del self._having[field], self._postings[field]

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]  # no subclass has another constructor

    def resolve(self, node: Filter | None) -> BitMap64:
        """Return the versions that pass a filter; all for None."""
        match node:
            case None:
                return self._everything.copy()
            case And(children):
                return BitMap64.intersection(*map(self.resolve, children))
            case Or(children):
                return BitMap64.union(*map(self.resolve, children))
            case Not(child):
                return self._everything - self.resolve(child)
            case Exists(field, present):
                having = self._having.get(field, BitMap64())
                return having.copy() if present else self._everything - having
            case _:
                return _united(self._found(node))

    def matching(self, node: Filter | None) -> NDArray[np.int64]:
        """Return the versions that pass a filter as an array, ascending."""
        return np.frombuffer(self.resolve(node).to_array(), np.uint64).astype(np.int64)

    def describe(self, field: str, node: Filter | None, limit: int) -> FieldStats:
        """Return what contract.FieldStats says of a field over the versions that pass a filter."""
        selected = self.resolve(node)
        counted = [
            (key, count)
            for key, postings in self._postings.get(field, {}).items()
            if (count := _count(postings, selected))
        ]
        counted.sort(key=lambda entry: (-entry[1], entry[0]))
        present = self._having.get(field, BitMap64()).intersection_cardinality(selected)
        values = [value for (_, value), _ in counted]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        timestamps = [value for value in values if isinstance(value, Timestamp)]
        return FieldStats(
            values=[(value, count) for (_, value), count in counted[:limit]],
            distinct=len(counted),
            present=present,
            missing=len(selected) - present,
            numbers=(min(numbers), max(numbers)) if numbers else None,
            timestamps=(min(timestamps), max(timestamps)) if timestamps else None,
        )

    def _found(self, node: Eq | In | Compare) -> Iterator[Postings]:
        """Yield the postings of every value that passes a condition."""
        postings = self._postings.get(node.field, {})
        match node:
            case Eq(_, value):
                wanted: Iterable[ValueKey] = [value_key(value)]
            case In(_, values):
                wanted = {value_key(value) for value in values}
            case Compare(_, order, operand):
                passes = ORDERINGS[order]
                # comparable() leaves only what the ordering takes
                wanted = [key for key in postings if comparable(key[1], operand) and passes(key[1], operand)]  # type: ignore[arg-type]  # see above
        for key in wanted:
            if key in postings:
                yield postings[key]


def _grouped(
    internal_ids: Sequence[int], metadata: Sequence[Metadata]
) -> Mapping[str, Mapping[ValueKey | None, list[int]]]:
    """Return field → value → versions; an empty list has a field but no value, and stands under None."""
    grouped: dict[str, dict[ValueKey | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for internal_id, fields in zip(internal_ids, metadata, strict=True):
        for field, value in fields.items():
            keys: set[ValueKey | None] = set(value_keys(value))
            for key in keys or {None}:
                grouped[field][key].append(internal_id)
    return grouped


def _with(postings: Postings | None, added: list[int]) -> Postings:
    if postings is None:
        return added[0] if len(added) == 1 else BitMap64(added)
    if isinstance(postings, int):
        return BitMap64([postings, *added])
    postings.update(added)
    return postings


def _take_out(postings: dict[ValueKey, Postings], key: ValueKey, gone: BitMap64) -> None:
    kept = postings[key]
    if not isinstance(kept, int):
        kept.difference_update(gone)
    if isinstance(kept, int) or not kept:
        del postings[key]


def _united(found: Iterable[Postings]) -> BitMap64:
    single: list[int] = []
    bitmaps: list[BitMap64] = []
    for postings in found:
        if isinstance(postings, int):
            single.append(postings)
        else:
            bitmaps.append(postings)
    return BitMap64.union(BitMap64(single), *bitmaps)


def _count(postings: Postings, selected: BitMap64) -> int:
    if isinstance(postings, int):
        return int(postings in selected)
    return int(postings.intersection_cardinality(selected))
