"""The head of a partition: new vectors, searched exactly, until a segment takes them over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.chunk import CHUNK_ROWS, GROWING_ROWS, Chunk
from vecgate_backends.records import FloatMatrix

DEAD_SHARE = 0.5
"""A chunk with a larger share of dead rows is compacted."""


class Head:
    """Chunks, all but the last closed to new rows."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._chunks = [Chunk(dimension)]
        self._spare: Chunk | None = None
        self._pinned = 0  # of the first chunks, which become a segment

    @property
    def live(self) -> int:
        """Versions in it that are alive."""
        return sum(len(chunk) - chunk.dead for chunk in self._chunks)

    def make_room(self, rows: int) -> None:
        """Get the memory that so many more versions need if that is much; on any thread, while nothing is appended."""
        last = self._chunks[-1]
        here = min(rows, last.reserved)
        if rows <= GROWING_ROWS or (len(last) and here < min(rows, last.room)):
            return  # it will grow in place, which happens once
        last.touch(here)
        if rows > here:
            if self._spare is None:
                self._spare = Chunk.whole(self._dimension)
            self._spare.touch(min(rows - here, CHUNK_ROWS))

    def append(self, internal_ids: NDArray[np.int64], record_ids: Sequence[str], vectors: FloatMatrix) -> None:
        """Add versions, above all before them; `vectors` in index form."""
        begin = 0
        if self._spare is not None and not len(self._chunks[-1]):
            self._chunks[-1] = self._next_chunk()
        while begin < len(internal_ids):
            if not self._chunks[-1].room:
                self._chunks.append(self._next_chunk())
            end = begin + self._chunks[-1].room
            self._chunks[-1].append(internal_ids[begin:end], record_ids[begin:end], vectors[begin:end])
            begin = end

    def remove(self, internal_ids: NDArray[np.int64]) -> None:
        """Mark versions dead, as far as they are here; ascending."""
        for chunk in self._chunks:
            chunk.remove(internal_ids)

    def clear(self) -> None:
        """Mark every version dead."""
        self._spare = None
        for chunk in self._chunks:
            chunk.clear()

    def compact(self) -> None:
        """Forget the dead rows of chunks that have many; whoever reads meanwhile sees all of it or nothing.

        Chunks that become a segment stay as they are: what died in them meanwhile is told by their rows.
        """
        pinned, others = self._chunks[: self._pinned], self._chunks[self._pinned :]
        *closed, last = [chunk.compacted() if chunk.dead > DEAD_SHARE * len(chunk) else chunk for chunk in others]
        self._chunks = [*pinned, *(chunk for chunk in closed if len(chunk)), last]

    def blocks(self) -> list[Block]:
        """Return what is in it now, a block a chunk."""
        return [chunk.block() for chunk in self._chunks]

    def close_chunks(self, live: int) -> tuple[Block, ...]:
        """Close the first chunks to new rows, as few as hold so many rows that are alive, so that they can become a segment; return them.

        They keep their rows and places until drop_chunks() or release().
        """
        closed: list[Block] = []
        held = 0
        for chunk in self._chunks:
            closed.append(chunk.block())
            held += len(chunk) - chunk.dead
            if held >= live:
                break
        if len(closed) == len(self._chunks):
            self._chunks.append(Chunk(self._dimension))
        self._pinned = len(closed)
        return tuple(closed)

    def _next_chunk(self) -> Chunk:
        chunk, self._spare = self._spare, None
        return Chunk(self._dimension) if chunk is None else chunk

    def release(self) -> None:
        """Note that the chunks that were closed became a segment, or will not."""
        self._pinned = 0

    def drop_chunks(self, count: int) -> None:
        """Forget so many of the first chunks, all that were closed or none: a segment holds their live rows now."""
        del self._chunks[:count]
        self._pinned -= count
