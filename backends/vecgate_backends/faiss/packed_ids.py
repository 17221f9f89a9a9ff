"""Record ids of many rows in two buffers: as many Python strings take three times the memory, and a start would have to make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

LOT = 8192
"""Ids that are copied at a time: NumPy lets no other thread run meanwhile."""


class PackedIds(Sequence[str]):
    """Ids by row; a value that never changes."""

    __slots__ = ("_ends", "_places", "_text")

    def __init__(
        self, text: NDArray[np.uint8], ends: NDArray[np.int64], places: NDArray[np.int64] | None = None
    ) -> None:
        """Take over buffers.

        Args:
            text: the ids in UTF-8, one behind the other.
            ends: where the first begins and each ends, shape (ids + 1,).
            places: of each row which of the ids it has, shape (rows,); None where that is its own number.
        """
        self._text = text.data
        self._ends = ends.data
        self._places = None if places is None else places.data

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """Pack ids."""
        encoded = [record_id.encode() for record_id in ids]
        ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=ends[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    @classmethod
    def joined(cls, parts: Sequence[PackedIds]) -> Self:
        """Return the rows of all, one behind the other."""
        packed = [part.packed() for part in parts]
        lengths = [np.diff(ends) for _, ends in packed]
        ends = np.zeros(sum(map(len, lengths)) + 1, np.int64)
        np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]), out=ends[1:])
        return cls(np.concatenate([np.empty(0, np.uint8), *(text for text, _ in packed)]), ends)

    def at(self, rows: NDArray[np.int64]) -> PackedIds:
        """Return the ids of some rows as the rows of another value, which shares the buffers."""
        places = rows if self._places is None else np.asarray(self._places)[rows]
        return PackedIds(np.asarray(self._text), np.asarray(self._ends), np.ascontiguousarray(places))

    def packed(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return buffers as __init__ takes them, with nothing in them but the ids of the rows, in their order."""
        text, ends = np.asarray(self._text), np.asarray(self._ends)
        if self._places is None:
            return text, ends
        places = np.asarray(self._places)
        begins, lengths = ends[places], np.diff(ends)[places]
        own = np.zeros(len(places) + 1, np.int64)
        np.cumsum(lengths, out=own[1:])
        taken = np.empty(own[-1], np.uint8)
        for first in range(0, len(places), LOT):
            lot = slice(first, first + LOT)
            end = own[min(first + LOT, len(places))]
            # Of each byte the place it comes from: that of the first of its id, and how far behind that it stands.
            sources = np.repeat(begins[lot] - own[:-1][lot], lengths[lot]) + np.arange(own[first], end)
            taken[own[first] : end] = text[sources]
        return taken, own

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._places is None else len(self._places)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        place = row if self._places is None else self._places[row]
        return str(self._text[self._ends[place] : self._ends[place + 1]], "utf-8")

    def __iter__(self) -> Iterator[str]:
        text, ends = self.packed()
        whole = text.tobytes()
        return (whole[begin:end].decode() for begin, end in pairwise(ends.tolist()))
