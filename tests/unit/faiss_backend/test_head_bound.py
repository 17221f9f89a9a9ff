"""What searches compare exactly is bounded: heads are sealed beside the merges of segments, and writers wait for the seal in the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import Everything
from vecgate_backends.errors import CollectionNotFoundError
from vecgate_backends.faiss import FaissBackend, sealing
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.rebuild import MERGED_SEGMENTS, Rebuild, build_segment
from vecgate_backends.faiss.sealing import HEAD_LIMIT
from vecgate_backends.records import CollectionSpec, Metric

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 50


@contextmanager
def held_builds(monkeypatch: pytest.MonkeyPatch, which: Callable[[Rebuild], bool]) -> Iterator[threading.Event]:
    """Hold up these builds until the event is set, or the block ends."""
    go_on = threading.Event()

    def held(rebuild: Rebuild, *arguments: Any, **options: Any) -> Any:
        if which(rebuild):
            go_on.wait()
        return build_segment(rebuild, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sealing, "build_segment", held)
        try:
            yield go_on
        finally:
            go_on.set()


async def make(backend: FaissBackend) -> FaissCollection:
    await backend.create_collection(CollectionSpec("notes", 8, Metric.COSINE))
    return await backend.collection("notes")


def names(begin: int, count: int) -> list[str]:
    return [f"r{number:04}" for number in range(begin, begin + count)]


async def sealed(collection: FaissCollection, segments: int) -> Partition:
    """Wait until the head has become so many segments."""
    partition = collection._partition("")
    deadline = time.monotonic() + 20
    while (  # noqa: ASYNC110  # nobody is told of it
        len(partition.segments) < segments or partition.sealing
    ) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert len(partition.segments) == segments
    return partition


async def test_a_head_is_sealed_while_segments_are_merged(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda rebuild: bool(rebuild.segments)) as go_on:
        for turn in range(MERGED_SEGMENTS):
            await put(collection, names(turn * THRESHOLD, THRESHOLD))
            await sealed(collection, turn + 1)
        assert collection._partition("").rebuilding
        await put(collection, names(900, THRESHOLD))
        partition = await sealed(collection, MERGED_SEGMENTS + 1)
        assert partition.rebuilding
        assert partition.head.live == 0
        go_on.set()
        await backend.settle()
    assert sorted(len(segment.block) for segment in partition.segments) == [THRESHOLD, MERGED_SEGMENTS * THRESHOLD]
    assert await collection.count("", Everything()) == (MERGED_SEGMENTS + 1) * THRESHOLD


async def test_what_is_deleted_while_the_head_is_sealed_beside_a_merge_stays_deleted(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda _: True) as go_on:
        await put(collection, names(0, THRESHOLD))
        await put(collection, names(10, THRESHOLD))
        assert collection._partition("").sealing
        go_on.set()
        await backend.settle()
    assert await collection.count("", Everything()) == THRESHOLD + 10
    partition = collection._partition("")
    assert sum(len(block) - block.dead for block in partition.blocks()) == THRESHOLD + 10


async def test_what_is_replaced_while_the_head_is_sealed_is_forgotten_before_that_is_over(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda rebuild: bool(rebuild.head)):
        await put(collection, names(0, THRESHOLD))
        for _ in range(20):
            await put(collection, names(500, THRESHOLD - 1))
        partition = collection._partition("")
        assert partition.sealing
        assert partition.head.live == 2 * THRESHOLD - 1
        assert sum(map(len, partition.head.blocks())) <= 4 * THRESHOLD


async def test_writers_wait_while_the_head_is_twice_full(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda rebuild: bool(rebuild.head)) as go_on:
        await put(collection, names(0, HEAD_LIMIT * THRESHOLD))
        late = asyncio.create_task(put(collection, names(900, 1)))
        elsewhere = await put(collection, names(900, 1), namespace="other")
        assert elsewhere.searchable
        await asyncio.sleep(0.05)
        assert not late.done()
        assert await collection.count("", Everything()) == HEAD_LIMIT * THRESHOLD
        go_on.set()
        await late
    assert await collection.count("", Everything()) == HEAD_LIMIT * THRESHOLD + 1


async def test_writers_who_come_at_once_are_not_all_let_in(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda rebuild: bool(rebuild.head)) as go_on:
        writing = [asyncio.create_task(put(collection, names(turn * 100, THRESHOLD))) for turn in range(20)]
        async with asyncio.timeout(20):
            while collection._partition("").head.live < HEAD_LIMIT * THRESHOLD:  # noqa: ASYNC110  # nobody is told of it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert collection._partition("").head.live == HEAD_LIMIT * THRESHOLD
        assert sum(each.done() for each in writing) == HEAD_LIMIT
        go_on.set()
        await asyncio.gather(*writing)
    assert await collection.count("", Everything()) == 20 * THRESHOLD


async def test_writers_do_not_wait_for_a_merge_that_began_in_a_pause(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD, quiet_seconds=0.05)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda rebuild: bool(rebuild.segments)):
        await put(collection, names(0, THRESHOLD))
        partition = await sealed(collection, 1)
        await put(collection, names(900, THRESHOLD - 1))
        async with asyncio.timeout(20):
            while not partition.rebuilding:  # noqa: ASYNC110  # nobody is told of it
                await asyncio.sleep(0.01)
            for turn in range(3):
                await put(collection, names(1000 + turn * 500, HEAD_LIMIT * THRESHOLD))
        assert partition.rebuilding
    assert await collection.count("", Everything()) == 2 * THRESHOLD - 1 + 3 * HEAD_LIMIT * THRESHOLD


async def test_writers_do_not_wait_for_a_seal_that_fails(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(sealing, "build_segment", fail)
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    async with asyncio.timeout(20):
        for turn in range(3):
            await put(collection, names(turn * 500, HEAD_LIMIT * THRESHOLD))
    assert await collection.count("", Everything()) == 3 * HEAD_LIMIT * THRESHOLD


async def test_a_writer_that_waits_is_told_that_the_collection_was_deleted(
    open_backend: OpenBackend, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await open_backend(seal_threshold=THRESHOLD)
    collection = await make(backend)
    with held_builds(monkeypatch, lambda _: True) as go_on:
        await put(collection, names(0, HEAD_LIMIT * THRESHOLD))
        late = asyncio.create_task(put(collection, names(900, 1)))
        await asyncio.sleep(0.05)
        deleting = asyncio.create_task(backend.delete_collection("notes"))
        await asyncio.sleep(0.05)
        go_on.set()
        await deleting
    with pytest.raises(CollectionNotFoundError):
        await late
