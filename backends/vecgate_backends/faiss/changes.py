"""What a commit changed, as the memory of the collection is told it, in the order of the operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.rebuild import Rebuild
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.records import FloatMatrix, Metadata


@dataclass(frozen=True, slots=True)
class RecordsAdded:
    """New versions, ascending by internal id; `vectors` in the form that scoring.index_form gives, one row a version."""

    namespace: str
    internal_ids: NDArray[np.int64]
    ids: Sequence[str]
    vectors: FloatMatrix
    metadata: Sequence[Metadata]


@dataclass(frozen=True, slots=True)
class RecordsRemoved:
    """Versions that were deleted or replaced, with the metadata they had."""

    namespace: str
    internal_ids: Sequence[int]
    metadata: Sequence[Metadata]


@dataclass(frozen=True, slots=True)
class NamespaceCleared:
    """Every version of a namespace was deleted."""

    namespace: str


@dataclass(frozen=True, slots=True)
class MetadataUpdated:
    """Versions whose metadata changed in place; `before` and `after` have the fields that the change is about, and no others."""

    namespace: str
    internal_ids: Sequence[int]
    before: Sequence[Metadata]
    after: Sequence[Metadata]


@dataclass(frozen=True, slots=True)
class SegmentsReplaced:
    """A rebuild was registered; `segment` is None if nothing in it was alive any more."""

    namespace: str
    rebuild: Rebuild
    segment: Segment | None


Change: TypeAlias = RecordsAdded | RecordsRemoved | NamespaceCleared | MetadataUpdated | SegmentsReplaced


def indexed_metadata(change: Change) -> Iterable[Metadata]:
    """Return all metadata that the index takes in or forgets with a change, but for that of a cleared namespace."""
    match change:
        case RecordsAdded(metadata=metadata) | RecordsRemoved(metadata=metadata):
            return metadata
        case MetadataUpdated(before=before, after=after):
            return chain(before, after)
        case NamespaceCleared() | SegmentsReplaced():
            return ()
