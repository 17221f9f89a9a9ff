"""Builds wait for what is more urgent, and nobody waits for builds that are not wanted any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.faiss import FaissBackend, rebuild
from vecgate_backends.faiss.build_steps import BuildStoppedError
from vecgate_backends.faiss.building_queue import BuildingQueue, BuildOrders, Urgency
from vecgate_backends.records import CollectionSpec, FlatIndex, HnswIndex, Metric

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]


@pytest.fixture
def queue() -> Iterator[BuildingQueue]:
    made = BuildingQueue("build", lambda: None)
    yield made
    made.stop()


class Gate:
    """Work that begins and then waits."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.open.wait(30)


def test_the_most_urgent_comes_first_and_of_equal_urgency_the_oldest(queue: BuildingQueue) -> None:
    gate, done = Gate(), list[str]()
    queue.submit(Urgency.REBUILD, gate)
    assert gate.begun.wait(30)
    for urgency, name in [
        (Urgency.REBUILD, "first rebuild"),
        (Urgency.REBUILD, "second rebuild"),
        (Urgency.SNAPSHOT, "snapshot"),
        (Urgency.FULL_HEAD, "head"),
    ]:
        last = queue.submit(urgency, lambda name=name: done.append(name))  # type: ignore[misc]  # a default binds it
    gate.open.set()
    last.result(30)
    queue.submit(Urgency.REBUILD, lambda: None).result(30)
    assert done == ["head", "snapshot", "first rebuild", "second rebuild"]


def test_work_that_breaks_tells_who_ordered_it_and_nobody_else(queue: BuildingQueue) -> None:
    broken = queue.submit(Urgency.REBUILD, lambda: 1 // 0)
    assert queue.submit(Urgency.REBUILD, lambda: 7).result(30) == 7
    with pytest.raises(ZeroDivisionError):
        broken.result(30)


def test_stopping_does_what_was_ordered() -> None:
    queue, gate, done = BuildingQueue("build", lambda: None), Gate(), list[int]()
    queue.submit(Urgency.FULL_HEAD, gate)
    for number in range(3):
        queue.submit(Urgency.REBUILD, lambda number=number: done.append(number))  # type: ignore[misc]  # as above
    gate.open.set()
    queue.stop()
    assert done == [0, 1, 2]


async def test_what_is_withdrawn_is_not_done_and_what_has_begun_is_waited_for(queue: BuildingQueue) -> None:
    orders, others, gate, done = BuildOrders(queue), BuildOrders(queue), Gate(), list[str]()
    begun = asyncio.create_task(orders.run(Urgency.REBUILD, gate))
    waiting = asyncio.create_task(orders.run(Urgency.REBUILD, lambda: done.append("mine")))
    other = asyncio.create_task(others.run(Urgency.REBUILD, lambda: done.append("other's")))
    await asyncio.to_thread(gate.begun.wait, 30)
    orders.withdraw()
    with pytest.raises(BuildStoppedError):
        await waiting
    with pytest.raises(BuildStoppedError):
        await orders.run(Urgency.FULL_HEAD, lambda: done.append("late"))
    assert not begun.done()
    gate.open.set()
    await asyncio.gather(begun, other)
    assert done == ["other's"]


async def test_a_caller_that_is_cancelled_is_cancelled(queue: BuildingQueue) -> None:
    orders, gate, done = BuildOrders(queue), Gate(), list[str]()
    queue.submit(Urgency.FULL_HEAD, gate)
    task = asyncio.create_task(orders.run(Urgency.REBUILD, lambda: done.append("late")))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open.set()
    queue.submit(Urgency.REBUILD, lambda: None).result(30)
    assert done == []


async def test_a_collection_that_is_built_anew_holds_up_no_other(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=16)
    for name in ("large", "small"):
        await backend.create_collection(CollectionSpec(name, 4, Metric.EUCLIDEAN, index=HnswIndex()))
    large, small = await backend.collection("large"), await backend.collection("small")
    for number in range(20):
        await put(large, [str(row) for row in range(16)], namespace=f"n{number}")
    await put(small, [str(row) for row in range(16)])
    await backend.settle()
    gate, built = Gate(), list[str]()
    original = rebuild.build_segment

    def noted(change: Any, namespace: str, spec: CollectionSpec, *arguments: Any, **options: Any) -> Any:
        if not gate.begun.is_set():
            gate()
        built.append(spec.name)
        return original(change, namespace, spec, *arguments, **options)

    monkeypatch.setattr("vecgate_backends.faiss.sealing.build_segment", noted)
    await backend.update_collection("large", FlatIndex())
    await asyncio.to_thread(gate.begun.wait, 30)
    await put(small, [f"more {row}" for row in range(16)])  # its head is full now
    await backend.update_collection(
        "small", FlatIndex()
    )  # and a rebuild of its segment waits behind those of the other
    gate.open.set()
    async with asyncio.timeout(30):
        while "small" not in built:  # noqa: ASYNC110  # a build has no event
            await asyncio.sleep(0.001)
    assert built.index("small") <= 1  # behind nothing but what had begun
    await backend.delete_collection("small")
    await backend.settle()
    assert built.count("large") == 20
