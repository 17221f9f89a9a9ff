"""The memory backend, beyond what the conformance suite holds every backend to."""

from __future__ import annotations

import numpy as np
import pytest

from vecgate_backends.conformance.material import batch_of, random_vectors, read, store_records, upsert
from vecgate_backends.contract import ByIds, Collection, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, IndexUnsupportedError
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSpec,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metric,
    RecordBatch,
)


@pytest.fixture
async def collection() -> Collection:
    backend = MemoryBackend(MemoryOptions())
    await backend.start()
    await backend.create_collection(CollectionSpec("things", 6, Metric.DOT))
    return await backend.collection("things")


async def test_records_that_were_read_are_copies(collection: Collection) -> None:
    await store_records(collection, ["a"], metadata=[{"n": 1}])
    record = await read(collection, "a")
    assert record.vector is not None
    record.vector[:] = 0
    dict.update(record.metadata, {"n": 2})  # what a reader does who forgets that it is read-only
    again = await read(collection, "a")
    assert again.metadata == {"n": 1}
    assert again.vector is not None
    assert np.array_equal(again.vector, random_vectors(1)[0])


async def test_columns_of_different_lengths_store_nothing(collection: Collection) -> None:
    with pytest.raises(ValueError, match="zip"):
        await upsert(collection, RecordBatch(["a", "b"], random_vectors(2), [None], [{}, {}]))
    assert (await collection.size()).records == 0


async def test_an_inner_product_beyond_float32_is_infinite(collection: Collection) -> None:
    huge = np.full((1, 6), 1e30, np.float32)
    await store_records(collection, ["a"], vectors=huge)
    (hits,) = await collection.search("", huge, SearchOptions())
    assert hits.scores.tolist() == [float("inf")]


async def test_a_dry_run_gives_no_token(collection: Collection) -> None:
    await upsert(collection, batch_of(["a"]))
    result = await collection.delete("", ByIds(("a",)), dry_run=True, acknowledgement=Acknowledgement.SEARCHABLE)
    assert result.consistency_token == ""


@pytest.mark.parametrize("index", [HnswIndex(), IvfIndex()])
async def test_an_index_it_cannot_build_is_refused(index: IndexConfig) -> None:
    backend = MemoryBackend(MemoryOptions())
    with pytest.raises(IndexUnsupportedError, match="flat"):
        await backend.create_collection(CollectionSpec("things", 6, index=index))


async def test_a_closed_backend_makes_no_collection() -> None:
    backend = MemoryBackend(MemoryOptions())
    await backend.close()
    with pytest.raises(BackendUnavailableError):
        await backend.create_collection(CollectionSpec("things", 6))
