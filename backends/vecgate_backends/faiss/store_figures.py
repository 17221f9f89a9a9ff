"""What a store tells of itself for monitoring."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vecgate_backends.contract import Figure
from vecgate_backends.distribution import Distribution
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.threads import Threads

SYNC_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: a disk with a cache that is safe takes less than a millisecond, a slow one tens."""
DISK_SECONDS = 30.0
"""How old the size of the files may be: to look at each takes a while in a store of thousands of collections."""


class StoreFigures:
    """Reads the figures of a store, from any thread.

    Attributes:
        sync_seconds: counts how long commits take until they are on the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sync_seconds = Distribution(SYNC_BOUNDS)
        self._disk_bytes = 0
        self._looked: float | None = None

    def read(
        self, collections: Sequence[FaissCollection], unreadable: int, threads: Threads | None
    ) -> Sequence[Figure]:
        """Return the figures of these open collections and of the files; `threads` are None while the store is closed."""
        partitions = [partition for collection in collections for partition in collection.partitions]
        waiting = (0, 0) if threads is None else (len(threads.sealers), len(threads.builders))
        building = "What waits to be built: full heads that become segments (seal); merges and snapshots (rebuild)."
        return [
            Figure("collections", "Collections that are open.", len(collections)),
            Figure("unreadable_collections", "Collections whose files cannot be read.", unreadable),
            Figure("namespaces", "Namespaces in memory.", len(partitions)),
            Figure("records", "Records held.", sum(map(len, partitions))),
            Figure(
                "head_vectors",
                "Vectors that are searched exactly until they become a segment.",
                sum(partition.head.live for partition in partitions),
            ),
            Figure("segments", "Segments of the index.", sum(len(partition.segments) for partition in partitions)),
            Figure("building_queue", building, waiting[0], {"queue": "seal"}),
            Figure("building_queue", building, waiting[1], {"queue": "rebuild"}),
            Figure("sync_seconds", "Time until a commit was on the disk.", self.sync_seconds),
            Figure("disk_bytes", "Size of the files of the store, looked at every 30 seconds at most.", self._size()),
            Figure("disk_free_bytes", "What the file system of the store has left.", self._free()),
        ]

    def _size(self) -> int:
        now = time.monotonic()
        if self._looked is None or now - self._looked > DISK_SECONDS:
            self._looked = now
            self._disk_bytes = _bytes_below(self._path)
        return self._disk_bytes

    def _free(self) -> int:
        with suppress(OSError):  # not there yet, or away
            return shutil.disk_usage(self._path).free
        return 0


def _bytes_below(directory: Path) -> int:
    """Add up the files of a directory tree; what vanishes meanwhile counts nothing."""
    total = 0
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                total += (
                    _bytes_below(Path(entry.path))
                    if entry.is_dir(follow_symlinks=False)
                    else entry.stat(follow_symlinks=False).st_size
                )
    return total
