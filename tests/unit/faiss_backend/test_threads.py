"""Who waits for whom: searches before the building of indexes."""

from __future__ import annotations

import os
import sys
import threading

import faiss
import pytest

from vecgate_backends.faiss.building_queue import Urgency
from vecgate_backends.faiss.threads import BUILDING_NICENESS, LARGEST_NICENESS, Threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to whole processes")
def test_building_yields_to_searches() -> None:
    threads = Threads.start(2, 1)
    try:
        usual = niceness()
        assert (
            threads.builders.submit(Urgency.REBUILD, niceness).result()
            == min(usual + BUILDING_NICENESS, LARGEST_NICENESS)
            > usual
        )
        assert threads.searchers.submit(niceness).result() == usual
    finally:
        threads.stop()


def test_each_pool_has_its_own_number_of_openmp_threads() -> None:
    threads = Threads.start(2, 3)
    try:
        assert threads.builders.submit(Urgency.REBUILD, faiss.omp_get_max_threads).result() == 3
        assert threads.searchers.submit(faiss.omp_get_max_threads).result() == 1
        assert faiss.omp_get_max_threads() == 1
    finally:
        threads.stop()
