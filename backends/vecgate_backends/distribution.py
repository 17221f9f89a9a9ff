"""How values are distributed: counted by bounds, as Prometheus wants its histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from threading import Lock


class Distribution:
    """Counts values by the smallest bound that they do not exceed; for any number of threads."""

    __slots__ = ("_counts", "_lock", "_total", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with nothing counted.

        Args:
            bounds: ascending; larger values are counted beyond them.
        """
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._total = 0.0
        self._lock = Lock()

    def add(self, value: float) -> None:
        """Count a value."""
        place = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[place] += 1
            self._total += value

    def read(self) -> tuple[list[int], float]:
        """Return how many values do not exceed each bound, at last how many there are at all; and their sum."""
        with self._lock:
            return list(accumulate(self._counts)), self._total
