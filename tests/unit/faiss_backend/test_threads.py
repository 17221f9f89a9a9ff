"""Who waits for whom: searches before the building of indexes."""

from __future__ import annotations

import os
import sys
import threading

import faiss
import pytest
from threadpoolctl import threadpool_info

from vecgate_backends.faiss.building_queue import Urgency
from vecgate_backends.faiss.threads import BUILDING_NICENESS, LARGEST_NICENESS, Threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to whole processes")
def test_building_yields_to_searches() -> None:
    threads = Threads.start(2, 1, 1)
    try:
        usual = niceness()
        assert (
            threads.builders.submit(Urgency.REBUILD, niceness).result()
            == min(usual + BUILDING_NICENESS, LARGEST_NICENESS)
            > usual
        )
        sealing = threads.sealers.submit(Urgency.FULL_HEAD, niceness).result()
        assert usual < sealing < usual + BUILDING_NICENESS
        assert threads.searchers.submit(niceness).result() == usual
        assert threads.comparer.submit(niceness).result() == usual
    finally:
        threads.stop()


def test_each_pool_has_its_own_number_of_openmp_threads() -> None:
    threads = Threads.start(2, 3, 1)
    try:
        assert threads.builders.submit(Urgency.REBUILD, faiss.omp_get_max_threads).result() == 3
        assert threads.searchers.submit(faiss.omp_get_max_threads).result() == 1
        assert threads.comparer.submit(faiss.omp_get_max_threads).result() == 1
        assert faiss.omp_get_max_threads() == 1
    finally:
        threads.stop()


def test_searches_end_with_their_threads() -> None:
    threads = Threads.start(2, 1, 1)
    threads.stop()
    for pool in (threads.searchers, threads.comparer):
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(niceness)


def test_a_search_is_not_spread_over_cores_by_the_linear_algebra() -> None:
    threads = Threads.start(2, 1, 1)
    try:
        libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
        assert libraries
        assert {each["num_threads"] for each in libraries} == {1}
    finally:
        threads.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to whole processes")
def test_a_system_that_forbids_to_yield_keeps_nothing_from_being_built(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbid(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", forbid)
    threads = Threads.start(2, 1, 1)
    try:
        assert threads.sealers.submit(Urgency.FULL_HEAD, lambda: "built").result(timeout=20) == "built"
    finally:
        threads.stop()
    assert "cannot be made to yield" in caplog.text
