"""The head of a partition: new vectors, searched exactly, until a segment takes them over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.scoring import squared_norms
from vecgate_backends.records import FloatMatrix


class Head:
    """Arrays that grow at their end. Blocks of it stay right while it grows: rows once written are never written again."""

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

    @property
    def dead(self) -> int:
        """Rows that were deleted or replaced."""
        return self._dead

    def append(self, internal_ids: NDArray[np.int64], record_ids: Sequence[str], vectors: FloatMatrix) -> None:
        """Add versions, above all before them; `vectors` in index form."""
        end = self._rows + len(internal_ids)
        if end > len(self._internal_ids):
            self._reserve(max(end, 2 * self._rows))
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

    def drop_first(self, rows: int) -> None:
        """Forget the first rows: a segment holds them now."""
        self._keep(np.arange(rows, self._rows))

    def compact(self) -> None:
        """Forget dead rows."""
        self._keep(np.flatnonzero(self._live[: self._rows]))

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

    def _keep(self, rows: NDArray[np.intp]) -> None:
        self._internal_ids = self._internal_ids[rows]
        self._vectors = self._vectors[rows]
        self._norms = self._norms[rows]
        self._live = self._live[rows]
        self._record_ids = [self._record_ids[row] for row in rows.tolist()]
        self._rows = len(rows)
        self._dead = self._rows - int(np.count_nonzero(self._live))


def _grown(array: NDArray, rows: int, capacity: int) -> NDArray:  # type: ignore[type-arg]  # of any dtype
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[:rows] = array[:rows]
    return grown
