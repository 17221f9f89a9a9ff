"""A namespace: a log of writes, and two views of it that follow at their own pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from emulators.pinecone.metadata_filters import compile_filter
from emulators.pinecone.vectors import StoredVector


@dataclass(frozen=True, slots=True)
class Write:
    """One write: records put in, ids taken out, or all of them; at a moment of the emulator's clock."""

    lsn: int
    moment: int
    put: Sequence[StoredVector] = ()
    removed: Sequence[str] = ()
    emptied: bool = False


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of records as a matrix, and the length of each."""

    matrix: NDArray[np.float32]
    lengths: NDArray[np.float32]

    @classmethod
    def of(cls, records: Sequence[StoredVector]) -> Vectors:
        """Stack what the records hold."""
        matrix = np.stack([record.values for record in records])
        with np.errstate(over="ignore"):
            return cls(matrix, np.sqrt((matrix**2).sum(axis=1)))

    def scores(self, metric: str, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute in float32, and for cosines slightly too much, as a real answer did."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if metric == "dotproduct":
                return self.matrix @ query
            if metric == "euclidean":
                return np.asarray(((self.matrix - query) ** 2).sum(axis=1), np.float32)
            lengths = self.lengths * np.sqrt((query**2).sum())
            return np.asarray(np.nan_to_num((self.matrix @ query) / lengths * np.float32(1.0011)), np.float32)


@dataclass(frozen=True, slots=True)
class Passing:
    """The records that pass a filter, in the order of their ids, and their places among all of them in that order."""

    records: Sequence[StoredVector]
    places: NDArray[np.int64]


@dataclass(slots=True)
class View:
    """What one kind of read sees of a namespace; what it worked out is remembered until the next write."""

    records: dict[str, StoredVector] = field(default_factory=dict)
    applied: int = 0
    _passing: dict[bytes, Passing] = field(default_factory=dict)
    _vectors: Vectors | None = None

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
            self._passing.clear()
            self._vectors = None

    def matching(self, expression: object) -> Passing:
        """Return the records that pass; refuse a filter that is none."""
        key = orjson.dumps(expression)
        if key not in self._passing:
            test = compile_filter(expression)
            ordered = sorted(self.records.values(), key=lambda record: record.id)
            places = [place for place, record in enumerate(ordered) if test(record.metadata)]
            self._passing[key] = Passing([ordered[place] for place in places], np.array(places, np.int64))
        return self._passing[key]

    def nearest(
        self, query: NDArray[np.float32], metric: str, passing: Passing, top_k: int
    ) -> list[tuple[float, StoredVector]]:
        """Return the best of the records that pass, with their scores, best first, and of equal ones the lesser id."""
        if not passing.records:
            return []
        if self._vectors is None:
            self._vectors = Vectors.of(self.matching({}).records)
        scores = self._vectors.scores(metric, query)[passing.places]
        best = np.argsort(scores if metric == "euclidean" else -scores, kind="stable")[:top_k]
        return [(float(scores[place]), passing.records[place]) for place in best]


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
