"""A chunk of the head: arrays that grow up to a fixed number of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.scoring import squared_norms
from vecgate_backends.records import FloatMatrix

CHUNK_ROWS = 8192
"""Rows of a full chunk. It bounds what is copied in one step of the event loop, when a chunk is compacted."""
GROWING_ROWS = 256
"""A chunk with more rows gets room for all it may ever have: memory that is not written to is not taken, and nothing is copied again."""


class Chunk:
    """Rows that are appended until it is full. Blocks of it stay right meanwhile: rows once written are never written again."""

    def __init__(self, dimension: int) -> None:
        self._rows = 0
        self._internal_ids = np.empty(0, np.int64)
        self._record_ids: list[str] = []
        self._vectors = np.empty((0, dimension), np.float32)
        self._norms = np.empty(0, np.float32)
        self._live = np.empty(0, np.bool_)
        self._dead = 0

    def __len__(self) -> int:
        return self._rows

    @classmethod
    def whole(cls, dimension: int) -> Chunk:
        """Return an empty chunk that has arrays for all the rows it may ever have."""
        chunk = cls(dimension)
        chunk._reserve(CHUNK_ROWS)
        return chunk

    @property
    def reserved(self) -> int:
        """Rows to come that there are arrays for."""
        return len(self._internal_ids) - self._rows

    def touch(self, rows: int) -> None:
        """Have the system give memory for so many of the reserved rows; on any thread, while nothing is appended.

        It comes page by page, for 1,000 rows of 384 dimensions in 5 ms.
        """
        self._vectors[self._rows : self._rows + rows] = 0

    @property
    def room(self) -> int:
        """Rows that it still takes."""
        return CHUNK_ROWS - self._rows

    @property
    def dead(self) -> int:
        """Rows that were deleted or replaced."""
        return self._dead

    def append(self, internal_ids: NDArray[np.int64], record_ids: Sequence[str], vectors: FloatMatrix) -> None:
        """Add versions, above all before them and no more than there is room for; `vectors` in index form."""
        end = self._rows + len(internal_ids)
        if end > len(self._internal_ids):
            self._reserve(CHUNK_ROWS if end > GROWING_ROWS else max(end, 2 * self._rows))
        self._internal_ids[self._rows : end] = internal_ids
        self._vectors[self._rows : end] = vectors
        self._norms[self._rows : end] = squared_norms(vectors)
        self._record_ids.extend(record_ids)
        self._rows = end

    def remove(self, internal_ids: NDArray[np.int64]) -> None:
        """Mark versions dead, as far as they are here; ascending."""
        rows = self.block().rows_of(internal_ids)
        if len(rows):
            self._live = self._live.copy()
            self._live[rows] = False
            self._dead += len(rows)

    def clear(self) -> None:
        """Mark every row dead."""
        self._live = self._live.copy()
        self._live[: self._rows] = False
        self._dead = self._rows

    def compacted(self) -> Chunk:
        """Return a chunk of the rows that are alive; this one stays, as another thread may be reading it."""
        rows = np.flatnonzero(self._live[: self._rows])
        chunk = Chunk(self._vectors.shape[1])
        chunk._internal_ids = self._internal_ids[rows]
        chunk._vectors = self._vectors[rows]
        chunk._norms = self._norms[rows]
        chunk._live = self._live[rows]
        chunk._record_ids = [self._record_ids[row] for row in rows.tolist()]
        chunk._rows = len(rows)
        return chunk

    def block(self) -> Block:
        """Return what is in it now."""
        rows = self._rows
        return Block(
            self._internal_ids[:rows],
            self._record_ids,
            self._vectors[:rows],
            self._norms[:rows],
            self._live[:rows],
            self._dead,
        )

    def _reserve(self, capacity: int) -> None:
        self._internal_ids = _grown(self._internal_ids, self._rows, capacity)
        self._vectors = _grown(self._vectors, self._rows, capacity)
        self._norms = _grown(self._norms, self._rows, capacity)
        live = np.ones(capacity, np.bool_)  # rows to come are alive
        live[: self._rows] = self._live[: self._rows]
        self._live = live


def _grown(array: NDArray, rows: int, capacity: int) -> NDArray:  # type: ignore[type-arg]  # of any dtype
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[:rows] = array[:rows]
    return grown
