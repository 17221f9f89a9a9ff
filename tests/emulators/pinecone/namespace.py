"""A namespace: a log of writes, and two views of it that follow at their own pace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emulators.pinecone.metadata_filters import Test, compile_filter
from emulators.pinecone.vectors import StoredVector


@dataclass(frozen=True, slots=True)
class Write:
    """One write: records put in, ids taken out, or all of them; at a moment of the emulator's clock."""

    lsn: int
    moment: int
    put: Sequence[StoredVector] = ()
    removed: Sequence[str] = ()
    emptied: bool = False


@dataclass(slots=True)
class View:
    """What one kind of read sees of a namespace."""

    records: dict[str, StoredVector] = field(default_factory=dict)
    applied: int = 0
    _matrix: NDArray[np.float32] | None = None
    _passing: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def follow(self, log: Sequence[Write], until: int) -> None:
        """Apply the writes that happened no later than a moment."""
        while self.applied < len(log) and log[self.applied].moment <= until:
            write = log[self.applied]
            if write.emptied:
                self.records.clear()
            for name in write.removed:
                self.records.pop(name, None)
            self.records.update((vector.id, vector) for vector in write.put)
            self.applied += 1
            self._matrix = None
            self._passing.clear()

    def matching(self, test: Test | None) -> list[StoredVector]:
        """Return the records that pass, in the order of their ids."""
        chosen = (record for record in self.records.values() if test is None or test(record.metadata))
        return sorted(chosen, key=lambda record: record.id)

    def nearest(
        self, query: NDArray[np.float32], metric: str, expression: object, top_k: int
    ) -> list[tuple[float, StoredVector]]:
        """Return the best records that pass a filter, with their scores, best first."""
        records = list(self.records.values())
        rows = self._rows(records, expression)
        if not len(rows):
            return []
        if self._matrix is None:
            self._matrix = np.stack([record.values for record in records])
        scores = _scores(metric, query, self._matrix)[rows]
        best = np.argsort(scores if metric == "euclidean" else -scores, kind="stable")[:top_k]
        return [(float(scores[place]), records[rows[place]]) for place in best]

    def _rows(self, records: Sequence[StoredVector], expression: object) -> NDArray[np.int64]:
        """Return the places of the records that pass, remembered until the next write."""
        key = json.dumps(expression)
        if key not in self._passing:
            test = compile_filter(expression)
            self._passing[key] = np.array(
                [row for row, record in enumerate(records) if test(record.metadata)], np.int64
            )
        return self._passing[key]


class Namespace:
    """Grows by writes; a view shows those that are at least its lag old, in ticks of the clock."""

    def __init__(self) -> None:
        self.log: list[Write] = []
        self._searched = View()
        self._fetched = View()

    def write(self, moment: int, **what: object) -> int:
        """Append a write, and return its number."""
        self.log.append(Write(len(self.log) + 1, moment, **what))  # type: ignore[arg-type]  # fields of Write by name
        return len(self.log)

    def searched(self, until: int) -> tuple[View, int]:
        """Return what queries see, and the number of the last write in it."""
        self._searched.follow(self.log, until)
        return self._searched, self._searched.applied

    def fetched(self, until: int) -> View:
        """Return what fetches, listings and statistics see."""
        self._fetched.follow(self.log, until)
        return self._fetched


def _scores(metric: str, query: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute in float32, and for cosines slightly too much, as a real answer did."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if metric == "dotproduct":
            return vectors @ query
        if metric == "euclidean":
            return np.asarray(((vectors - query) ** 2).sum(axis=1), np.float32)
        lengths = np.sqrt((vectors**2).sum(axis=1)) * np.sqrt((query**2).sum())
        return np.asarray(np.nan_to_num((vectors @ query) / lengths * np.float32(1.0011)), np.float32)
