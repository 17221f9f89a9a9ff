"""While searches come, the transactions of large commits and the steps of builds take turns, so that a core stays free where there are several.

Niceness alone does not do that. Who waits for a core waits for the end of a time slice, 4 ms on many systems, however nice the thread is that
has it; and a thread that is put off while it holds the interpreter keeps everybody waiting who needs that. Measured on two cores that bulk
upserts and building fill, together with smaller steps of the event loop: the p99 of a search fell from 20 to 16 ms, that of one of 20 records from
14 to 11, with as many upserts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from time import monotonic
from types import MappingProxyType

SEARCHES_LINGER_SECONDS = 0.5
"""How long after a search another one is expected."""
LONGEST_TURN_SECONDS = 0.2
"""Who takes longer, as a pass of k-means over many vectors does, is not waited for any more."""
LONGEST_WAIT_SECONDS = 0.25
"""For a turn, whoever has it."""
SEALING_SHARE = 0.75
"""Of the time for building, where heads are sealed and segments merged at once: searches compare a head exactly, and writers wait for it."""
MOST_OWED_SECONDS = 0.1
"""What is made up for: nobody saves up turns that were not wanted."""


class Work(Enum):
    """What takes turns."""

    COMMIT = auto()
    """The transaction of a commit, which comes before building, though not twice in a row."""
    SEAL = auto()
    """A step of making a segment of a head."""
    MERGE = auto()
    """A step of making a segment of others."""


_OWED_A_SECOND: Mapping[Work, float] = MappingProxyType(
    {Work.COMMIT: 0.0, Work.SEAL: 1 - SEALING_SHARE, Work.MERGE: -SEALING_SHARE}
)
"""Seconds that merges are owed for each second of work."""


class Turns:
    """Lets threads of the background compute: all at once while nobody searches, and otherwise as many as leave a core."""

    def __init__(self, background_threads: int = 1, build_threads: int = 1) -> None:
        """Begin with nobody at work.

        Args:
            background_threads: that may compute at a time while searches come, at least 1.
            build_threads: of each build; it counts as half of the others at most, so that a seal and a merge may run side by side.
        """
        self._most = background_threads
        self._build_threads = min(build_threads, max(1, background_threads // 2))
        self._changed = threading.Condition()
        self._at_work: dict[object, tuple[float, int]] = {}  # since when, and with how many threads
        self._waiting = dict.fromkeys(Work, 0)
        self._committed_last = False
        self._owed_to_merges = 0.0  # seconds; negative: to seals
        self._searched_at = float("-inf")

    def searched(self) -> None:
        """Note that a search comes; costs next to nothing."""
        self._searched_at = monotonic()

    @contextmanager
    def turn(self, work: Work) -> Iterator[None]:
        """Wait for a turn, LONGEST_WAIT_SECONDS at most, and hold it."""
        holder = object()
        with self._changed:
            self._waiting[work] += 1
            try:
                self._wait(work)
            finally:
                self._waiting[work] -= 1
            began = monotonic()
            self._at_work[holder] = began, self._threads(work)
            self._committed_last = work is Work.COMMIT
            self._changed.notify_all()  # who let this one go first may be next
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[holder]
                owed = self._owed_to_merges + _OWED_A_SECOND[work] * (monotonic() - began)
                self._owed_to_merges = min(MOST_OWED_SECONDS, max(-MOST_OWED_SECONDS, owed))
                self._changed.notify_all()

    def _wait(self, work: Work) -> None:
        patience = monotonic() + LONGEST_WAIT_SECONDS
        while not self._is_next(work):
            now = monotonic()
            left = min(patience, self._searched_at + SEARCHES_LINGER_SECONDS) - now
            if left <= 0:
                return
            ends = [began + LONGEST_TURN_SECONDS - now for began, _ in self._at_work.values()]
            self._changed.wait(min([left, *(end for end in ends if end > 0)]))

    def _is_next(self, work: Work) -> bool:
        since = monotonic() - LONGEST_TURN_SECONDS
        at_work = sum(threads for began, threads in self._at_work.values() if began > since)
        if at_work + self._threads(work) > self._most:
            return False
        builds_wait = self._waiting[Work.SEAL] or self._waiting[Work.MERGE]
        if work is Work.COMMIT:
            return not (self._committed_last and builds_wait)
        if self._waiting[Work.COMMIT] and not self._committed_last:
            return False
        first = Work.MERGE if self._owed_to_merges > 0 else Work.SEAL
        return work is first or not self._waiting[first]

    def _threads(self, work: Work) -> int:
        return 1 if work is Work.COMMIT else self._build_threads
