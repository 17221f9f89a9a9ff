"""A block: vectors that are searched together, the head or one segment, as an immutable value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.segment_index import SegmentIndex
from vecgate_backends.records import FloatMatrix, FloatVector


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of versions, ascending by internal id. A search may go on with a block after newer ones took its place.

    Attributes:
        internal_ids: shape (rows,). record_ids: the ids of the records; may be longer than the block.
        vectors: in index form (scoring.index_form), shape (rows, dimension). norms: their squared lengths, shape (rows,).
        live: shape (rows,); False where the version was deleted or replaced since. dead: how many are False.
        index: over the same rows, or None. A graph that is not quantised owns the memory of `vectors`; beside the other kinds they are
            mapped from the segment's file.
    """

    internal_ids: NDArray[np.int64]
    record_ids: Sequence[str]
    vectors: FloatMatrix
    norms: FloatVector
    live: NDArray[np.bool_]
    dead: int
    index: SegmentIndex | None = None

    def __len__(self) -> int:
        return len(self.internal_ids)

    def rows_of(self, internal_ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the rows of those of these versions that the block holds; `internal_ids` ascend, and so do the rows."""
        if not len(self) or not len(internal_ids):
            return np.empty(0, np.intp)
        first, last = self.internal_ids[0], self.internal_ids[-1]
        begin, end = np.searchsorted(internal_ids, [first, last + 1])
        within = internal_ids[begin:end]
        if last - first + 1 == len(self):  # no gaps, so no search
            return np.asarray(within - first, np.intp)
        rows = np.searchsorted(self.internal_ids, within)
        return np.asarray(rows[self.internal_ids[rows] == within], np.intp)

    def without(self, internal_ids: NDArray[np.int64]) -> Block:
        """Return the block with these versions dead; the block itself if it holds none of them."""
        rows = self.rows_of(internal_ids)
        return self if not len(rows) else self.with_live(_cleared(self.live, rows))

    def with_live(self, live: NDArray[np.bool_]) -> Block:
        """Return the block with other rows alive."""
        return replace(self, live=live, dead=len(live) - int(np.count_nonzero(live)))


def among(ascending: NDArray[np.integer], values: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell which of some values, of any shape, are among ascending ones."""
    if not len(ascending):
        return np.zeros(values.shape, np.bool_)
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.asarray(ascending[places] == values)


def record_ids(blocks: Sequence[Block], internal_ids: NDArray[np.int64]) -> list[str]:
    """Return the ids of the records of those of these versions, ascending, that the blocks hold; in no order."""
    return [block.record_ids[row] for block in blocks for row in block.rows_of(internal_ids).tolist()]


def _cleared(live: NDArray[np.bool_], rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    changed = live.copy()
    changed[rows] = False
    return changed
