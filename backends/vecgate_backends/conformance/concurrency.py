"""Many calls at once: every answer is one that some order of the calls would have given."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from vecgate_backends.conformance.material import (
    ALL_FIELDS,
    DIMENSION,
    batch_of,
    count_all,
    found_ids,
    list_all,
    random_vectors,
    store_records,
    upsert,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import SearchOptions
from vecgate_backends.errors import RecordExistsError
from vecgate_backends.records import IDS_ONLY, FloatMatrix, WriteMode

ROUNDS = 25
STEADY = 40


def version(number: int) -> FloatMatrix:
    """Return a vector that tells its version, shape (1, DIMENSION)."""
    return np.full((1, DIMENSION), number + 1, np.float32)


@pytest.mark.asyncio
class TestConcurrency:
    """Calls that overlap."""

    async def test_a_replaced_record_is_found_exactly_once_at_every_moment(self, store: Store) -> None:
        collection = await store.create()
        steady = [f"steady {n:02}" for n in range(STEADY)]
        await store_records(collection, [*steady, "moving"], vectors=random_vectors(STEADY + 1))
        expected = sorted([*steady, "moving"])

        async def replace() -> None:
            for number in range(ROUNDS):
                await store_records(collection, ["moving"], vectors=version(number), texts=[str(number)])
                await store_records(collection, steady[number : number + 3], vectors=random_vectors(3, seed=number))

        async def search(exact: bool) -> None:
            for _ in range(ROUNDS):
                options = SearchOptions(top_k=STEADY * 2, fields=IDS_ONLY, exact=exact)
                (hits,) = await collection.search("", random_vectors(1), options)
                assert sorted(hits.ids) == expected

        async def look() -> None:
            for _ in range(ROUNDS):
                assert await count_all(collection) == len(expected)
                assert sorted(record.id for record in await list_all(collection)) == expected

        await asyncio.gather(replace(), search(True), search(False), look(), replace())
        await store.settle()
        assert await found_ids(collection) == expected

    async def test_a_record_is_never_read_half_old_and_half_new(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"], vectors=version(0), texts=["0"], metadata=[{"version": 0}])

        async def replace() -> None:
            for number in range(ROUNDS):
                await store_records(
                    collection, ["a"], vectors=version(number), texts=[str(number)], metadata=[{"version": number}]
                )

        async def look() -> None:
            for _ in range(ROUNDS):
                (got,) = await collection.get("", ["a"], ALL_FIELDS)
                (hits,) = await collection.search("", version(0), SearchOptions(fields=ALL_FIELDS))
                assert hits.records is not None
                for record in (got, *hits.records):
                    assert record is not None
                    assert record.vector is not None
                    number = int(record.text or "")
                    assert record.metadata == {"version": number}
                    assert record.vector.tobytes() == version(number)[0].tobytes()

        await asyncio.gather(replace(), look(), look())

    async def test_of_many_inserts_of_one_id_one_succeeds(self, store: Store) -> None:
        collection = await store.create()
        results = await asyncio.gather(
            *(upsert(collection, batch_of(["a"], texts=[str(n)]), mode=WriteMode.INSERT) for n in range(20))
        )
        errors = [result.errors[0] for result in results]
        assert errors.count(None) == 1
        assert {type(error) for error in errors if error is not None} == {RecordExistsError}
        (record,) = await list_all(collection)
        assert record.text == str(errors.index(None))

    async def test_no_write_of_many_at_once_is_lost(self, store: Store) -> None:
        collection = await store.create()
        batches = [[f"{writer:02}-{n:02}" for n in range(20)] for writer in range(20)]
        await asyncio.gather(*(store_records(collection, ids) for ids in batches))
        await store.settle()
        every = sorted(record_id for ids in batches for record_id in ids)
        assert await found_ids(collection) == every
        assert await count_all(collection) == len(every)

    async def test_a_cancelled_write_leaves_the_collection_usable(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["before"])
        write = asyncio.create_task(upsert(collection, batch_of([f"{n:03}" for n in range(200)])))
        await asyncio.sleep(0)  # the write has begun
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await store_records(collection, ["after"])
        found = await found_ids(collection)
        assert {"before", "after"} <= set(found)
        assert found == sorted(record.id for record in await list_all(collection))
        assert await count_all(collection) == len(found)
