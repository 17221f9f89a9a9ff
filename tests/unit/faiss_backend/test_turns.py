"""While searches come, what writes and builds takes turns; while none come, nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import SearchOptions
from vecgate_backends.faiss import FaissBackend, turns, writer
from vecgate_backends.faiss.build_steps import BuildSteps, BuildStoppedError
from vecgate_backends.faiss.turns import Turns, Work
from vecgate_backends.records import CollectionSpec, Metric

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
SOON = 20.0


class Worker:
    """A thread that takes a turn and holds it until it is let go."""

    def __init__(self, asked: Turns, work: Work, order: list[str] | None = None, name: str = "") -> None:
        self.at_work = threading.Event()
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(asked, work, order, name), daemon=True)
        self._thread.start()
        if order is not None:
            while not asked._waiting[work] and not self.at_work.is_set():
                time.sleep(0.001)

    def let_go(self) -> None:
        self._go.set()

    def end(self) -> None:
        self.let_go()
        self._thread.join(SOON)

    def _run(self, asked: Turns, work: Work, order: list[str] | None, name: str) -> None:
        with asked.turn(work):
            self.at_work.set()
            if order is not None:
                order.append(name)
            self._go.wait(SOON)


@contextmanager
def working(*workers: Worker) -> Iterator[None]:
    try:
        yield
    finally:
        for worker in workers:
            worker.let_go()
        for worker in workers:
            worker.end()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but turns decide."""
    monkeypatch.setattr(turns, "SEARCHES_LINGER_SECONDS", SOON)
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", SOON)
    monkeypatch.setattr(turns, "LONGEST_TURN_SECONDS", SOON)


def test_while_nobody_searches_everybody_works_at_once() -> None:
    asked = Turns(1)
    workers = [Worker(asked, work) for work in (Work.COMMIT, Work.SEAL, Work.MERGE, Work.COMMIT)]
    with working(*workers):
        assert all(worker.at_work.wait(SOON) for worker in workers)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("most", [1, 2, 3])
def test_while_searches_come_no_more_work_than_leave_a_core(most: int) -> None:
    asked = Turns(most)
    asked.searched()
    workers = [Worker(asked, Work.COMMIT) for _ in range(4)]
    with working(*workers):
        deadline = time.monotonic() + SOON
        while sum(worker.at_work.is_set() for worker in workers) < most:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.05)
        assert sum(worker.at_work.is_set() for worker in workers) == most
    assert all(worker.at_work.is_set() for worker in workers)


@pytest.mark.usefixtures("patient")
def test_a_build_of_several_threads_counts_as_several() -> None:
    asked = Turns(5, build_threads=2)
    asked.searched()
    builds = [Worker(asked, Work.SEAL), Worker(asked, Work.MERGE)]
    assert all(build.at_work.wait(SOON) for build in builds)
    commit = Worker(asked, Work.COMMIT)
    assert commit.at_work.wait(SOON)
    late = Worker(asked, Work.COMMIT)
    with working(*builds, commit, late):
        assert not late.at_work.wait(0.05)
    assert late.at_work.is_set()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("cores", [4, 8, 16])
def test_where_cores_are_many_a_seal_a_merge_and_a_commit_are_at_work_at_once(cores: int) -> None:
    asked = Turns(cores - 1, build_threads=cores // 2)
    asked.searched()
    workers = [Worker(asked, work) for work in Work]
    with working(*workers):
        assert all(worker.at_work.wait(SOON) for worker in workers)


@pytest.mark.usefixtures("patient")
def test_more_threads_than_may_work_build_alone() -> None:
    asked = Turns(1, build_threads=4)
    asked.searched()
    seal = Worker(asked, Work.SEAL)
    with working(seal):
        assert seal.at_work.wait(SOON)


@pytest.mark.usefixtures("patient")
def test_a_commit_comes_first_and_then_a_seal() -> None:
    asked, order = Turns(1), list[str]()
    asked.searched()
    first = Worker(asked, Work.MERGE)
    assert first.at_work.wait(SOON)
    waiting = [Worker(asked, work, order, work.name) for work in (Work.MERGE, Work.SEAL, Work.COMMIT)]
    first.end()
    for worker in reversed(waiting):
        assert worker.at_work.wait(SOON)
        worker.end()
    assert order == ["COMMIT", "SEAL", "MERGE"]


def test_seals_and_merges_that_both_want_to_work_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(turns, "monotonic", lambda: now)
    asked, worked = Turns(1), {Work.SEAL: 0.0, Work.MERGE: 0.0}
    asked.searched()
    asked._waiting.update({Work.SEAL: 1, Work.MERGE: 1})
    for _ in range(1000):
        (work,) = [work for work in worked if asked._is_next(work)]
        with asked.turn(work):
            step = 0.005 if work is Work.SEAL else 0.02
            now += step
            worked[work] += step
        asked.searched()
    assert worked[Work.SEAL] / sum(worked.values()) == pytest.approx(turns.SEALING_SHARE, abs=0.01)


@pytest.mark.usefixtures("patient")
def test_a_step_of_a_build_comes_between_two_commits() -> None:
    asked, order = Turns(1), list[str]()
    asked.searched()
    first = Worker(asked, Work.COMMIT)
    assert first.at_work.wait(SOON)
    waiting = [Worker(asked, work, order, work.name) for work in (Work.COMMIT, Work.SEAL)]
    first.end()
    for worker in reversed(waiting):
        assert worker.at_work.wait(SOON)
        worker.end()
    assert order == ["SEAL", "COMMIT"]


@pytest.mark.usefixtures("patient")
def test_who_let_others_go_first_takes_the_place_beside_them() -> None:
    asked = Turns(2)
    for _ in range(20):
        asked.searched()
        holders = [Worker(asked, Work.SEAL), Worker(asked, Work.SEAL)]
        assert all(holder.at_work.wait(SOON) for holder in holders)
        waiting = [Worker(asked, work, [], work.name) for work in (Work.MERGE, Work.COMMIT)]
        with working(*waiting):
            for holder in holders:
                holder.end()
            assert all(worker.at_work.wait(SOON / 4) for worker in waiting)


def test_steps_beside_one_that_takes_long_do_not_wait_for_it_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEARCHES_LINGER_SECONDS", SOON)
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", SOON)
    asked = Turns(1)
    asked.searched()
    long = Worker(asked, Work.MERGE)
    with working(long):
        assert long.at_work.wait(SOON)
        began = time.monotonic()
        for _ in range(50):
            with asked.turn(Work.SEAL):
                pass
        assert turns.LONGEST_TURN_SECONDS / 2 < time.monotonic() - began < 10 * turns.LONGEST_TURN_SECONDS


def test_nobody_waits_long_for_a_step_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SEARCHES_LINGER_SECONDS", SOON)
    monkeypatch.setattr(turns, "LONGEST_TURN_SECONDS", SOON)
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", 0.1)
    asked = Turns(1)
    asked.searched()
    long = Worker(asked, Work.MERGE)
    assert long.at_work.wait(SOON)
    began = time.monotonic()
    commit = Worker(asked, Work.COMMIT)
    with working(long, commit):
        assert commit.at_work.wait(SOON)
        assert time.monotonic() - began >= 0.1


def test_once_searches_end_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_SECONDS", SOON)
    monkeypatch.setattr(turns, "SEARCHES_LINGER_SECONDS", 0.1)
    asked = Turns(1)
    asked.searched()
    workers = [Worker(asked, Work.COMMIT), Worker(asked, Work.SEAL)]
    with working(*workers):
        assert all(worker.at_work.wait(SOON / 2) for worker in workers)


@pytest.mark.usefixtures("patient")
def test_who_breaks_down_gives_the_turn_back() -> None:
    asked = Turns(1)
    asked.searched()
    with pytest.raises(ZeroDivisionError), asked.turn(Work.MERGE):
        _ = 1 // 0
    commit = Worker(asked, Work.COMMIT)
    with working(commit):
        assert commit.at_work.wait(SOON)


def test_a_build_that_is_given_up_takes_no_turn() -> None:
    asked = Turns(1)
    with pytest.raises(BuildStoppedError), BuildSteps(lambda: True, asked, Work.MERGE).next():
        pytest.fail("it went on")
    assert not asked._at_work


@pytest.mark.usefixtures("patient")
def test_a_build_that_is_given_up_while_it_waits_does_not_go_on() -> None:
    asked, stopped, ended = Turns(1), threading.Event(), threading.Event()
    asked.searched()
    before = Worker(asked, Work.COMMIT)
    assert before.at_work.wait(SOON)

    def build() -> None:
        with pytest.raises(BuildStoppedError), BuildSteps(stopped.is_set, asked, Work.SEAL).next():
            pytest.fail("it went on")
        ended.set()

    threading.Thread(target=build, daemon=True).start()
    while not asked._waiting[Work.SEAL]:
        time.sleep(0.001)
    stopped.set()
    before.end()
    assert ended.wait(SOON)


async def collection_of(backend: FaissBackend) -> Any:
    await backend.create_collection(CollectionSpec("notes", 8, Metric.COSINE))
    return await backend.collection("notes")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("records", "waits"), [(writer.LARGE_WEIGHT, True), (8, False)])
async def test_after_a_search_a_large_commit_waits_for_a_build_and_a_small_one_does_not(
    open_backend: OpenBackend, put: Put, records: int, waits: bool
) -> None:
    backend = await open_backend()
    collection = await collection_of(backend)
    await put(collection, ["first"])
    await collection.search("", np.ones((1, 8), np.float32), SearchOptions(top_k=1))
    asked = collection._threads.turns
    asked._most = 1
    build = Worker(asked, Work.MERGE)
    assert await asyncio.to_thread(build.at_work.wait, SOON)
    writing = asyncio.create_task(put(collection, [f"r{number}" for number in range(records)]))
    done, _ = await asyncio.wait([writing], timeout=0.3 if waits else SOON)
    assert bool(done) is not waits
    await asyncio.to_thread(build.end)
    assert (await writing).errors == [None] * records


@pytest.mark.usefixtures("patient")
async def test_heads_are_sealed_and_segments_merged_while_searches_come(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend(seal_threshold=50)
    collection = await collection_of(backend)
    for number in range(8):
        await collection.search("", np.ones((1, 8), np.float32), SearchOptions(top_k=1))
        await put(collection, [f"r{number}-{each}" for each in range(50)])
    await backend.settle()
    partition = collection._partition("")
    assert partition.head.live < 50
    assert len(partition.segments) < 8
    assert not any(collection._threads.turns._waiting.values())
