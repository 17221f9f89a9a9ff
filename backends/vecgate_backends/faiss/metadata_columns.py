"""Making the metadata index of many versions at once, in a fraction of the time of adding them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vecgate_backends.faiss.field_index import FOLDED_VERSIONS, FieldIndex, Postings
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.ordered_column import COLUMN_TYPES, TYPE_NAMES, OrderedColumn, bitmap
from vecgate_backends.filters import ValueKey, value_keys
from vecgate_backends.records import Metadata, MetadataValue


def metadata_index(internal_ids: Sequence[int], metadata: Iterable[Metadata]) -> MetadataIndex:
    """Return the index of these versions, which decides as one does that they were added to."""
    by_type: dict[tuple[str, type], tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
    for internal_id, held in zip(internal_ids, metadata, strict=True):
        for field, value in held.items():
            having, values = by_type[field, type(value)]
            having.append(internal_id)
            values.append(value)
    fields: dict[str, FieldIndex] = {}
    for (field, kind), (having, values) in by_type.items():
        made = _field_index(kind, having, values)
        fields[field] = fields[field].joined(made) if field in fields else made
    return MetadataIndex.of(bitmap(np.array(internal_ids, np.int64)), fields)


def _field_index(kind: type, internal_ids: list[int], values: list[Any]) -> FieldIndex:
    """Return the index of a field whose values are of one type."""
    having = np.array(internal_ids, np.int64)
    name = TYPE_NAMES.get(kind)
    if name is None or not all(map(COLUMN_TYPES[name].fits, values)):
        return FieldIndex.of(bitmap(having), _postings(internal_ids, values), {}).folded()
    of = COLUMN_TYPES[name]
    packed = np.array([of.pack(value) for value in values], of.dtype)
    order = np.argsort(packed, kind="stable")
    packed, sorted_ids = packed[order], having[order]
    begins = np.flatnonzero(np.append(True, packed[1:] != packed[:-1]))
    counts = np.diff(np.append(begins, len(packed)))
    shared = counts > FOLDED_VERSIONS
    postings: dict[ValueKey, Postings] = {
        (of.kind, of.unpack(packed[begin])): bitmap(np.sort(sorted_ids[begin : begin + count]))
        for begin, count in zip(begins[shared].tolist(), counts[shared].tolist(), strict=True)
    }
    alone = np.repeat(~shared, counts)
    columns = {name: OrderedColumn(of, packed[alone], sorted_ids[alone])} if alone.any() else {}
    return FieldIndex.of(bitmap(having), postings, columns)


def _postings(internal_ids: list[int], values: list[MetadataValue]) -> dict[ValueKey, Postings]:
    grouped: dict[ValueKey, list[int]] = defaultdict(list)
    for internal_id, value in zip(internal_ids, values, strict=True):
        for key in set(value_keys(value)):
            grouped[key].append(internal_id)
    return {key: own[0] if len(own) == 1 else bitmap(np.array(own, np.int64)) for key, own in grouped.items()}
