"""The metadata of a partition, turned round for filters: it decides exactly as filters.matches does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from vecgate_backends.answers import FieldStats
from vecgate_backends.faiss.field_index import FieldIndex
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, ValueKey, value_keys
from vecgate_backends.records import Metadata, Timestamp


class MetadataIndex:
    """Metadata of the live versions, which it also counts. Bitmaps that methods return belong to the caller."""

    def __init__(self) -> None:
        self._everything = BitMap64()
        self._fields: dict[str, FieldIndex] = {}

    def __len__(self) -> int:
        return len(self._everything)

    def add(self, internal_ids: Sequence[int], metadata: Sequence[Metadata]) -> None:
        """Take in versions with their metadata."""
        self._everything.update(internal_ids)
        for field, values in _grouped(internal_ids, metadata).items():
            self._fields.setdefault(field, FieldIndex()).add(values)

    def remove(self, internal_ids: Sequence[int], metadata: Sequence[Metadata]) -> None:
        """Forget versions; `metadata` is what they were added with."""
        self._everything.difference_update(BitMap64(internal_ids))
        for field, values in _grouped(internal_ids, metadata).items():
            index = self._fields[field]
            index.remove(values)
            if not index.having:
                del self._fields[field]

    def clear(self) -> None:
        """Forget everything."""
        self._everything = BitMap64()
        self._fields = {}

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
                having = self._field(field).having
                return having.copy() if present else self._everything - having
            case Eq(field) | In(field) | Compare(field):
                return self._field(field).passing(node)

    def matching(self, node: Filter | None) -> NDArray[np.int64]:
        """Return the versions that pass a filter as an array, ascending."""
        return np.frombuffer(self.resolve(node).to_array(), np.uint64).astype(np.int64)

    def describe(self, field: str, node: Filter | None, limit: int) -> FieldStats:
        """Return what answers.FieldStats says of a field over the versions that pass a filter."""
        selected = self.resolve(node)
        index = self._field(field)
        counted = sorted(index.counts(selected), key=lambda entry: (-entry[1], entry[0]))
        present = index.having.intersection_cardinality(selected)
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

    def _field(self, field: str) -> FieldIndex:
        return self._fields.get(field) or FieldIndex()


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
