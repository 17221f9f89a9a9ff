"""Collections and the backend itself: made, listed, deleted, closed, opened again."""

from __future__ import annotations

import asyncio

import pytest

from vecgate_backends.conformance.material import (
    DIMENSION,
    batch_of,
    count_all,
    found_ids,
    list_all,
    random_vectors,
    read,
    store_records,
    typed,
    upsert,
)
from vecgate_backends.conformance.oracle import Oracle
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByIds, Everything, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, CollectionExistsError, CollectionNotFoundError
from vecgate_backends.filters import Eq
from vecgate_backends.records import (
    IDS_ONLY,
    Acknowledgement,
    CollectionSpec,
    Metadata,
    Metric,
    ModelBinding,
    Timestamp,
)

SEARCHABLE = Acknowledgement.SEARCHABLE


def specs(store: Store) -> list[CollectionSpec]:
    """Return settings that differ in everything."""
    model = ModelBinding("all-MiniLM-L6-v2", "sha256:" + "ab" * 32, 'query: "日本"')
    made = Timestamp(1_700_000_000, 123_456_789)
    return [
        CollectionSpec("0-bound", 384, Metric.COSINE, model, store.case.index, made),
        CollectionSpec("a", 1, Metric.DOT, None, store.case.index, Timestamp(0)),
        CollectionSpec("x" * 45, 1_024, Metric.EUCLIDEAN, None, store.case.index, made),
    ]


@pytest.mark.asyncio
class TestCollections:
    """Making, finding and removing collections."""

    async def test_settings_come_back_as_given(self, store: Store) -> None:
        for spec in reversed(specs(store)):
            await store.backend.create_collection(spec)
        assert list(await store.backend.list_collections()) == specs(store)
        for spec in specs(store):
            assert (await store.backend.collection(spec.name)).spec == spec

    async def test_a_name_can_be_taken_once(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"])
        with pytest.raises(CollectionExistsError):
            await store.create(dimension=3)
        again = await store.backend.collection("things")
        assert again.spec.dimension == DIMENSION
        assert await count_all(again) == 1

    async def test_an_unknown_collection_is_not_found(self, store: Store) -> None:
        assert list(await store.backend.list_collections()) == []
        with pytest.raises(CollectionNotFoundError):
            await store.backend.collection("things")
        with pytest.raises(CollectionNotFoundError):
            await store.backend.delete_collection("things")

    async def test_collections_share_nothing(self, store: Store) -> None:
        one = await store.create("one")
        two = await store.create("two", metric=Metric.DOT, dimension=3)
        await store_records(one, ["a", "b"])
        await store_records(two, ["a"], vectors=random_vectors(1, 3), texts=["of two"])
        await one.delete("", Everything(), dry_run=False, acknowledgement=SEARCHABLE)
        assert (await read(two, "a")).text == "of two"
        await store.backend.delete_collection("one")
        assert await found_ids(two) == ["a"]

    async def test_a_handle_of_a_deleted_collection_answers_nothing_even_when_the_name_is_taken_again(
        self, store: Store
    ) -> None:
        old = await store.create()
        await store_records(old, ["a"])
        await store.backend.delete_collection("things")
        assert list(await store.backend.list_collections()) == []
        for again in (False, True):
            if again:
                assert await found_ids(await store.create()) == []
            calls = [
                old.size(),
                upsert(old, batch_of(["a"])),
                old.search("", random_vectors(1), SearchOptions()),
                old.get("", ["a"], IDS_ONLY),
                old.count("", Everything()),
                old.list_records("", None, cursor=None, limit=1, fields=IDS_ONLY),
                old.field_stats("", "f", None, limit=1),
                old.delete("", Everything(), dry_run=False, acknowledgement=SEARCHABLE),
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [CollectionNotFoundError] * len(calls)


@pytest.mark.asyncio
class TestBackend:
    """Opening and closing."""

    async def test_the_case_says_what_the_capabilities_say(self, store: Store) -> None:
        capabilities = store.backend.capabilities
        assert capabilities.durable is store.case.reopenable
        assert capabilities.max_dimension >= DIMENSION

    async def test_a_started_backend_works_and_a_closed_one_says_that_it_does_not(self, store: Store) -> None:
        await store.backend.check()
        collection = await store.create()
        await store_records(collection, ["a"])
        await store.backend.close()
        await store.backend.close()
        with pytest.raises(BackendUnavailableError):
            await store.backend.check()
        with pytest.raises(BackendUnavailableError):
            await store.backend.collection("things")
        with pytest.raises(BackendUnavailableError):
            await upsert(collection, batch_of(["b"]))
        with pytest.raises(BackendUnavailableError):
            await collection.search("", random_vectors(1), SearchOptions())

    async def test_everything_is_there_after_a_reopen(self, reopenable_store: Store) -> None:
        store = reopenable_store
        for spec in specs(store):
            await store.backend.create_collection(spec)
        collection = await store.create(metric=Metric.EUCLIDEAN)
        rows: list[Metadata] = [
            {"n": n, "f": n / 2, "t": Timestamp(n, 7), "l": ("a", "b"), "b": n == 1} for n in range(80)
        ]
        vectors = random_vectors(80)
        ids = [f"{n:02}" for n in range(80)]
        for namespace in ("", "other"):
            await store_records(
                collection, ids, namespace=namespace, vectors=vectors, texts=[None, *ids[1:]], metadata=rows
            )
        await store.settle()
        await collection.delete("", ByIds(("05", "06")), dry_run=False, acknowledgement=SEARCHABLE)
        await store_records(collection, ["07"], vectors=random_vectors(1, seed=8), texts=["new"])
        before = {namespace: await list_all(collection, namespace=namespace) for namespace in ("", "other")}
        for _ in range(2):
            await store.reopen()
            assert list(await store.backend.list_collections()) == sorted(
                [*specs(store), collection.spec], key=lambda spec: spec.name
            )
            collection = await store.backend.collection("things")
            for namespace, expected in before.items():
                found = await list_all(collection, namespace=namespace)
                assert [(record.id, record.text) for record in found] == [
                    (record.id, record.text) for record in expected
                ]
                assert [typed(record.metadata) for record in found] == [typed(record.metadata) for record in expected]
                stored = {record.id: record.vector for record in expected if record.vector is not None}
                assert {record.id: record.vector.tobytes() for record in found if record.vector is not None} == {
                    record_id: vector.tobytes() for record_id, vector in stored.items()
                }
                (hits,) = await collection.search(namespace, vectors[:1], SearchOptions(top_k=200, exact=True))
                Oracle(Metric.EUCLIDEAN, stored).check(hits, vectors[0], top_k=200)
                assert await found_ids(collection, namespace=namespace) == sorted(stored)
            assert await found_ids(collection, Eq("n", 7)) == []

    async def test_what_was_deleted_is_not_there_after_a_reopen(self, reopenable_store: Store) -> None:
        store = reopenable_store
        await store_records(await store.create("gone"), ["a"])
        collection = await store.create()
        ids = [f"{n:02}" for n in range(60)]
        await store_records(collection, ids)
        await store.settle()
        await collection.delete("", Everything(), dry_run=False, acknowledgement=SEARCHABLE)
        await store.backend.delete_collection("gone")
        await store.reopen()
        assert [spec.name for spec in await store.backend.list_collections()] == ["things"]
        collection = await store.backend.collection("things")
        assert await found_ids(collection) == []
        assert await count_all(collection) == 0

    async def test_close_finishes_the_writes_under_way(self, reopenable_store: Store) -> None:
        store = reopenable_store
        collection = await store.create()
        ids = [f"{n:03}" for n in range(300)]
        write = asyncio.create_task(upsert(collection, batch_of(ids)))
        await asyncio.sleep(0)  # the write has begun
        await store.backend.close()
        assert list((await write).errors) == [None] * len(ids)
        await store.reopen()
        assert await found_ids(await store.backend.collection("things")) == ids
