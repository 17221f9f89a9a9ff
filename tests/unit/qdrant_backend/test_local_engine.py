"""The client's own engine, for a laptop: a directory or memory, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vecgate_backends.conformance.material import (
    axis,
    found_ids,
    list_all,
    random_vectors,
    store_records,
    typed,
)
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    StoreLockedError,
)
from vecgate_backends.filters import And, Compare, Eq, Exists, Not, Order
from vecgate_backends.qdrant import QdrantBackend, QdrantOptions
from vecgate_backends.qdrant.connection import Connection
from vecgate_backends.records import CollectionSpec, FlatIndex, HnswIndex, Metadata, Metric, Timestamp

SPEC = CollectionSpec("things", 6, Metric.COSINE, index=HnswIndex())
ROWS: list[Metadata] = [
    {"n": 2**53 + 1, "t": Timestamp(5, 999_999_999), "tags": ("a", "b"), "b": True},
    {"n": 0.1 + 0.2, "s": "x", "tags": ()},
    {},
]


async def opened(path: Path | str) -> QdrantBackend:
    backend = QdrantBackend(QdrantOptions(path=str(path)))
    await backend.start()
    return backend


async def test_a_changed_index_is_kept_over_a_restart(tmp_path: Path) -> None:
    backend = await opened(tmp_path / "q")
    await backend.create_collection(SPEC)
    await backend.update_collection("things", FlatIndex())
    await backend.close()
    backend = await opened(tmp_path / "q")
    assert list(await backend.list_collections()) == [replace(SPEC, index=FlatIndex())]
    await backend.close()


async def test_a_directory_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    backend = await opened(tmp_path / "q")
    assert backend.capabilities.durable
    await backend.create_collection(SPEC)
    await store_records(
        await backend.collection("things"), ["a", "b", "c"], namespace="n", metadata=ROWS, texts=["x", "", None]
    )
    await backend.close()
    backend = await opened(tmp_path / "q")
    assert list(await backend.list_collections()) == [SPEC]
    collection = await backend.collection("things")
    records = {record.id: record for record in await list_all(collection, namespace="n")}
    assert {name: (record.text, typed(record.metadata)) for name, record in records.items()} == {
        "a": ("x", typed(ROWS[0])),
        "b": ("", typed(ROWS[1])),
        "c": (None, typed(ROWS[2])),
    }
    stored = [records[name].vector for name in "abc"]
    assert [vector.tobytes() for vector in stored if vector is not None] == [row.tobytes() for row in random_vectors(3)]
    node = And((Compare("n", Order.GT, 2**53), Eq("tags", "b"), Not(Exists("s"))))
    assert await found_ids(collection, node, namespace="n") == ["a"]
    await backend.close()


# The client leaves the lock file that it could not lock to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_directory_belongs_to_one_process(tmp_path: Path) -> None:
    backend = await opened(tmp_path)
    with pytest.raises(StoreLockedError):
        await opened(tmp_path)
    await backend.close()
    await (await opened(tmp_path)).close()


async def test_a_directory_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(ConfigurationError, match="path"):
        await opened(tmp_path / "file")


async def test_memory_is_gone_with_the_process_and_says_so() -> None:
    backend = await opened(":memory:")
    assert not backend.capabilities.durable
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    await store_records(collection, ["a", "b"], vectors=axis(0).repeat(2, axis=0))
    (hits,) = await collection.search("", axis(0), SearchOptions(ef=5))
    assert (list(hits.ids), hits.scores.tolist()) == (["a", "b"], [1.0, 1.0])
    with pytest.raises(CollectionExistsError):
        await backend.create_collection(SPEC)
    await backend.delete_collection("things")
    with pytest.raises(CollectionNotFoundError):
        await backend.collection("things")
    await backend.close()
    with pytest.raises(BackendUnavailableError):
        await backend.check()


async def test_the_event_loop_goes_on_while_the_engine_computes() -> None:
    connection = Connection(QdrantOptions(path=":memory:"))
    await connection.start()
    release = threading.Event()

    def compute(client: Any) -> int:
        assert release.wait(60)
        return len(client.get_collections().collections)

    call = asyncio.create_task(connection.read(compute))
    await asyncio.sleep(0)
    release.set()  # which a blocked loop would never come to
    assert await call == 0
    await connection.close()


async def test_a_call_that_takes_too_long_ends_in_time_there_too() -> None:
    connection = Connection(QdrantOptions(path=":memory:", timeout_seconds=0.2))
    await connection.start()
    release = threading.Event()
    with pytest.raises(BackendUnavailableError):
        await connection.read(lambda _: release.wait(60))
    release.set()
    await connection.close()
