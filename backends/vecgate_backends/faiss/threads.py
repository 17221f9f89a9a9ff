"""The threads of a backend, and how much of the machine each may use."""

from __future__ import annotations

import logging
import os
import sys
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import faiss
from threadpoolctl import threadpool_limits

from vecgate_backends.faiss.building_queue import BuildingQueue
from vecgate_backends.faiss.turns import Turns

logger = logging.getLogger(__name__)

BUILDING_NICENESS = 10
"""Beyond the others', of threads that build: they get what searches leave, about a tenth of a core that searches want too."""
SEALING_NICENESS = 3
"""The same of the thread that seals: searches are slower until it is done, and in the end writers wait for it. It gets half as much of a core
as they do."""
WRITING_NICENESS = 10
"""The same of a thread that commits writes. Measured on two cores that bulk upserts and building fill, before they took turns, with one search after the other: searches take
0.7 of the time, writes 1.25 times as long; alone, bulk upserts take what they took, and of 64 callers more share a commit. Single writes
beside encoders that fill the cores take 1.4 times as long at worst (p99 21 to 30 ms)."""
LARGEST_NICENESS = 19


@dataclass(frozen=True, slots=True)
class Threads:
    """Where work runs that is too long for the event loop.

    Attributes:
        searchers: long searches. search_threads: how many run side by side.
        comparer: short searches that share their work, one run at a time.
        sealers: full heads that become segments, one at a time.
        builders: rebuilds of segments and snapshots, one at a time.
        turns: of what writes and builds, while searches come.
    """

    searchers: Executor
    search_threads: int
    comparer: Executor
    sealers: BuildingQueue
    builders: BuildingQueue
    turns: Turns

    @classmethod
    def start(cls, search_threads: int, build_threads: int, background_threads: int) -> Threads:
        """Start them; while searches come, no more than `background_threads` write and build at a time.

        Faiss counts its OpenMP threads for each thread that calls it, so each pool sets its own number.
        """
        faiss.omp_set_num_threads(1)  # the event loop's own short searches
        # Searches run side by side. One that is spread over cores that others use waits for the last of its threads to be given one.
        threadpool_limits(1, user_api="blas")
        return cls(
            ThreadPoolExecutor(search_threads, "vecgate-search", faiss.omp_set_num_threads, (1,)),
            search_threads,
            ThreadPoolExecutor(1, "vecgate-compare", faiss.omp_set_num_threads, (1,)),
            BuildingQueue("vecgate-seal", partial(_begin_building, build_threads, SEALING_NICENESS)),
            BuildingQueue("vecgate-build", partial(_begin_building, build_threads, BUILDING_NICENESS)),
            Turns(background_threads, build_threads),
        )

    def stop(self) -> None:
        """Wait for what runs and end them."""
        self.searchers.shutdown()
        self.comparer.shutdown()
        self.sealers.stop()
        self.builders.stop()


def yield_to_searches(nicer: int) -> None:
    """Make this thread, and those that it starts, nicer than the process is, where that can be said of a thread."""
    if sys.platform != "linux":  # elsewhere niceness belongs to whole processes
        return
    thread = threading.get_native_id()
    try:
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + nicer
        os.setpriority(os.PRIO_PROCESS, thread, min(niceness, LARGEST_NICENESS))
    except OSError as refusal:  # some sandboxes forbid it
        _tell_once(str(refusal))


@cache
def _tell_once(refusal: str) -> None:
    """Tell that no thread yields: every collection has some."""
    logger.warning("writing and building cannot be made to yield to searches, which may be slower: %s", refusal)


def _begin_building(threads: int, nicer: int) -> None:
    """Set up a thread that builds; those that Faiss starts for it inherit its niceness."""
    faiss.omp_set_num_threads(threads)
    yield_to_searches(nicer)
