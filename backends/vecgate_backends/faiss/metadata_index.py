"""The metadata of a partition, turned round for filters: it decides exactly as filters.matches does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap64

from vecgate_backends.answers import FieldStats
from vecgate_backends.faiss.changes import (
    Change,
    MetadataUpdated,
    NamespaceCleared,
    RecordsAdded,
    RecordsRemoved,
    indexed_metadata,
)
from vecgate_backends.faiss.field_index import FieldIndex
from vecgate_backends.faiss.ordered_column import versions
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, ValueKey, value_keys
from vecgate_backends.records import Metadata, Timestamp


class MetadataIndex:
    """Metadata of the live versions, which it also counts. Bitmaps that methods return belong to the caller."""

    __slots__ = ("_everything", "_fields")

    def __init__(self) -> None:
        self._everything = BitMap64()
        self._fields: dict[str, FieldIndex] = {}

    def __len__(self) -> int:
        return len(self._everything)

    @classmethod
    def of(cls, everything: BitMap64, fields: dict[str, FieldIndex]) -> MetadataIndex:
        """Return the index of these versions with these fields; it takes over what it is given."""
        made = cls()
        made._everything, made._fields = everything, fields
        return made

    def copy(self) -> MetadataIndex:
        """Return an index that changes on its own."""
        return MetadataIndex.of(self._everything.copy(), {field: index.copy() for field, index in self._fields.items()})

    def follow(self, change: Change) -> None:
        """Follow one change of a commit."""
        match change:
            case RecordsAdded(_, internal_ids, _, _, metadata):
                self.add(internal_ids.tolist(), metadata)
            case RecordsRemoved(_, internal_ids, metadata):
                self.remove(internal_ids, metadata)
            case MetadataUpdated(_, internal_ids, before, after):
                self.remove(internal_ids, before)
                self.add(internal_ids, after)
            case NamespaceCleared():
                self.clear()

    def following(self, changes: Sequence[Change]) -> MetadataIndex:
        """Return an index that followed the changes; this one may be read meanwhile, and is to be forgotten then, as they share fields."""
        followed = MetadataIndex()
        followed._everything = self._everything.copy()
        changed = {field for change in changes for metadata in indexed_metadata(change) for field in metadata}
        followed._fields = {field: index.copy() if field in changed else index for field, index in self._fields.items()}
        for change in changes:
            followed.follow(change)
        followed._fields = {field: index.folded() if index.due else index for field, index in followed._fields.items()}
        return followed

    def without(self, gone: BitMap64) -> MetadataIndex:
        """Return an index without some versions, whatever their metadata; looks at every value."""
        fields = {field: index.without(gone) for field, index in self._fields.items()}
        return MetadataIndex.of(
            self._everything - gone, {field: index for field, index in fields.items() if index.having}
        )

    def joined(self, other: MetadataIndex) -> MetadataIndex:
        """Return an index of both, which have no version in common; it shares fields with them."""
        fields = dict(self._fields)
        for field, index in other._fields.items():
            fields[field] = fields[field].joined(index) if field in fields else index
        return MetadataIndex.of(self._everything | other._everything, fields)

    def folded(self, *, searched: bool = True) -> MetadataIndex:
        """Return an index that decides alike, with all values in columns that belong there; `searched` as in FieldIndex.of."""
        fields = {field: index.folded(searched=searched) for field, index in self._fields.items()}
        return MetadataIndex.of(self._everything.copy(), fields)

    @property
    def due(self) -> bool:
        """Whether so much came that following() is to put it in order."""
        return any(index.due for index in self._fields.values())

    @property
    def everything(self) -> BitMap64:
        """The versions; not to be changed."""
        return self._everything

    @property
    def fields(self) -> Mapping[str, FieldIndex]:
        """What is known by field; not to be changed."""
        return self._fields

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
        return versions(self.resolve(node))

    def selection(self, field: str, node: Filter | None) -> FieldSelection:
        """Return a field and the versions that pass a filter, both as they are now whatever follows."""
        return FieldSelection(self._field(field).copy(), self.resolve(node))

    def _field(self, field: str) -> FieldIndex:
        found = self._fields.get(field)
        # Not "or": a field that holds nothing but empty lists has no values, and is there all the same.
        return FieldIndex() if found is None else found


@dataclass(frozen=True, slots=True)
class FieldSelection:
    """A field and some versions."""

    index: FieldIndex
    selected: BitMap64

    def describe(self, limit: int) -> FieldStats:
        """Return what answers.FieldStats says of them; about 2 us a value of the field."""
        counted = list(self.index.counts(self.selected))
        present = self.index.having.intersection_cardinality(self.selected)
        values = [value for (_, value), _ in counted]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        timestamps = [value for value in values if isinstance(value, Timestamp)]
        return FieldStats(
            values=[
                (value, count)
                for (_, value), count in nsmallest(limit, counted, key=lambda entry: (-entry[1], entry[0]))
            ],
            distinct=len(counted),
            present=present,
            missing=len(self.selected) - present,
            numbers=(min(numbers), max(numbers)) if numbers else None,
            timestamps=(min(timestamps), max(timestamps)) if timestamps else None,
        )


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
