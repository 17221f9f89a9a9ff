"""Random histories in which seals and merges end at random moments, long after what they are made from has changed, against a dictionary."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByIds, Everything, SearchOptions
from vecgate_backends.faiss import FaissBackend, chunk, sealing
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.rebuild import build_segment
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    FlatIndex,
    FloatMatrix,
    HnswIndex,
    Metric,
)

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]
THRESHOLD = 12
DIMENSION = 4
STEPS = 40
NAMESPACES = ("", "other")
IDS = [f"r{number}" for number in range(120)]


class Builds:
    """Builds that wait until they are let go, one by one.

    Attributes:
        done: how many went.
    """

    def __init__(self) -> None:
        self.done = 0
        self._tokens = threading.Semaphore(0)
        self._free = False

    def let_go(self, count: int = 1) -> None:
        self._tokens.release(count)

    def free(self) -> None:
        """Let every build go from now on."""
        self._free = True
        self.let_go(1000)

    def build(self, *arguments: Any, **options: Any) -> Any:
        self._tokens.acquire()
        self.done += 1
        return build_segment(*arguments, **options)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Builds]:
    """Hold builds, of chunks that are soon full."""
    held = Builds()
    monkeypatch.setattr(sealing, "build_segment", held.build)
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 9)
    monkeypatch.setattr(chunk, "GROWING_ROWS", 4)
    yield held
    held.free()


class History:
    """What was written to a collection, and what it must hold."""

    def __init__(self, seed: int, put: Put, builds: Builds) -> None:
        self._random = random.Random(seed)  # a test
        self._numbers = np.random.default_rng(seed)
        self._put = put
        self._builds = builds
        self.held: dict[str, dict[str, FloatMatrix]] = {name: {} for name in NAMESPACES}

    async def step(self, backend: FaissBackend, collection: FaissCollection) -> None:
        """Do something."""
        chance = self._random.random()
        namespace = self._random.choice(NAMESPACES)
        if chance < 0.55:
            await self._upsert(collection, namespace)
        elif chance < 0.8:
            await self._delete(collection, namespace)
        elif chance < 0.83:
            await collection.delete(namespace, Everything(), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
            self.held[namespace].clear()
        elif chance < 0.86:
            await backend.update_collection("notes", self._random.choice([FlatIndex(), HnswIndex(m=8), None]))
        else:
            self._builds.let_go()
            await asyncio.sleep(self._random.choice([0, 0.001, 0.02]))

    async def check(self, collection: FaissCollection) -> None:
        """Compare what the collection finds with what it must hold."""
        for namespace, held in self.held.items():
            partition = collection._partition(namespace)
            live = [
                record_id
                for block in partition.blocks()
                for record_id, alive in zip(block.record_ids, block.live.tolist(), strict=False)
                if alive
            ]
            assert sorted(live) == sorted(held)
            for block in partition.blocks():
                assert block.dead == len(block) - np.count_nonzero(block.live)
            await self._search(collection, namespace)

    async def _search(self, collection: FaissCollection, namespace: str) -> None:
        held = self.held[namespace]
        query = self._vectors(1)
        (all_of_them,) = await collection.search(namespace, query, SearchOptions(top_k=200, fields=IDS_ONLY))
        assert sorted(all_of_them.ids) == sorted(held)
        (nearest,) = await collection.search(namespace, query, SearchOptions(top_k=3, exact=True, fields=IDS_ONLY))
        distances = sorted(
            float(np.linalg.norm(vector.astype(np.float64) - query[0].astype(np.float64))) for vector in held.values()
        )
        np.testing.assert_allclose(-np.array(nearest.scores), distances[:3], rtol=1e-5)

    async def _upsert(self, collection: FaissCollection, namespace: str) -> None:
        ids = self._random.choices(IDS, k=self._random.choice([1, 3, 10, 30]))
        vectors = self._vectors(len(ids))
        writing = asyncio.create_task(self._put(collection, ids, vectors, namespace=namespace))
        async with asyncio.timeout(20):
            while not (await asyncio.wait([writing], timeout=0.02))[0]:
                self._builds.let_go()  # it waits for room
        await writing
        self.held[namespace] |= dict(zip(ids, vectors, strict=True))

    async def _delete(self, collection: FaissCollection, namespace: str) -> None:
        held = self.held[namespace]
        ids = self._random.sample(sorted(held), k=min(len(held), self._random.choice([1, 5, 20, 60])))
        await collection.delete(namespace, ByIds(tuple(ids)), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
        for record_id in ids:
            del held[record_id]

    def _vectors(self, count: int) -> FloatMatrix:
        """Return vectors, some of which are beyond what float32 can square."""
        sizes = self._numbers.choice([1, 1, 1, 1e25], (count, 1))
        vectors: FloatMatrix = (self._numbers.standard_normal((count, DIMENSION)) * sizes).astype(np.float32)
        return vectors


@pytest.mark.parametrize("seed", range(5))
async def test_after_any_history_nothing_is_lost_and_nothing_that_was_deleted_is_found(
    seed: int, open_backend: OpenBackend, put: Put, builds: Builds, directory: Path
) -> None:
    options = {"seal_threshold": THRESHOLD, "quiet_seconds": 0.01}
    backend = await open_backend(**options)
    await backend.create_collection(CollectionSpec("notes", DIMENSION, Metric.EUCLIDEAN))
    collection = await backend.collection("notes")
    history = History(seed, put, builds)
    for _ in range(STEPS):
        await history.step(backend, collection)
        await history.check(collection)
    assert builds.done
    builds.free()
    await backend.settle()
    await history.check(collection)
    reopened = await (await open_backend(**options)).collection("notes")
    await history.check(reopened)
