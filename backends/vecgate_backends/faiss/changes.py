"""What a commit changed, as the memory of the collection is told it, in the order of the operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Versions whose metadata changed in place."""

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
