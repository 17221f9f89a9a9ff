"""Another index for a collection that has records: exactly where that is claimed, and without a moment in which searches are wrong."""

from __future__ import annotations

import asyncio

import pytest

from vecgate_backends.conformance.material import count_all, found_ids, random_vectors, store_records
from vecgate_backends.conformance.recall import check_recall
from vecgate_backends.conformance.refusals import INDEXES, refusal
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByIds, Collection
from vecgate_backends.errors import CollectionNotFoundError, IndexUnsupportedError, UnsupportedError, VecgateError
from vecgate_backends.records import Acknowledgement, IndexConfig

SEARCHABLE = Acknowledgement.SEARCHABLE
RECORDS = 700
STORED = random_vectors(RECORDS, seed=1)
QUERIES = random_vectors(20, seed=2)
IDS = [f"{row:04}" for row in range(RECORDS)]


def expected_refusal(store: Store, index: IndexConfig) -> type[VecgateError] | None:
    """Return what a change to this index ends in by the capabilities, None if it is made."""
    capabilities = store.backend.capabilities
    if not capabilities.index_updates:
        return UnsupportedError
    return None if index.kind in capabilities.index_kinds else IndexUnsupportedError


def possible(store: Store) -> list[IndexConfig]:
    """Return the indexes a collection can be changed to; a test that finds none is passed by a refusal."""
    found = [index for index in INDEXES if expected_refusal(store, index) is None]
    if not found:
        store.note_refusal("index_updates")
    return found


async def check_searches(collection: Collection) -> None:
    """Insist that every record is found, and the nearest ones well enough."""
    assert await found_ids(collection) == IDS
    await check_recall(collection, QUERIES, dict(zip(IDS, STORED, strict=True)), None)


@pytest.mark.asyncio
class TestIndexUpdates:
    """A collection gets another index."""

    @pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.kind)
    async def test_exactly_the_claimed_changes_are_made_and_told(self, store: Store, index: IndexConfig) -> None:
        collection = await store.create()
        before = collection.spec
        expected = expected_refusal(store, index)
        assert await refusal(store.backend.update_collection("things", index)) is expected
        settings = [collection.spec, (await store.backend.collection("things")).spec]
        settings.extend(await store.backend.list_collections())
        assert [spec.index for spec in settings] == [before.index if expected else index] * 3
        assert {(spec.name, spec.dimension, spec.metric, spec.created) for spec in settings} == {
            (before.name, before.dimension, before.metric, before.created)
        }
        if expected:
            store.note_refusal(f"a change to index kind {index.kind}")

    async def test_an_unknown_collection_is_not_found(self, store: Store) -> None:
        expected = CollectionNotFoundError if store.backend.capabilities.index_updates else UnsupportedError
        assert await refusal(store.backend.update_collection("things", store.case.index)) is expected
        assert list(await store.backend.list_collections()) == []

    async def test_searches_are_right_before_and_after_the_index_is_built_anew(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, IDS, vectors=STORED)
        await store.settle()
        for index in possible(store):
            assert (await store.backend.update_collection("things", index)).index == index
            await check_searches(collection)
            await store.settle()
            await check_searches(collection)

    async def test_writes_and_searches_go_on_meanwhile(self, store: Store) -> None:
        collection = await store.create()
        half = RECORDS // 2
        await store_records(collection, IDS[:half], vectors=STORED[:half])
        await store_records(collection, ["gone"])
        await store.settle()
        for index in possible(store)[:1]:
            _, _, _, found = await asyncio.gather(
                store.backend.update_collection("things", index),
                store_records(collection, IDS[half:], vectors=STORED[half:]),
                collection.delete("", ByIds(("gone",)), dry_run=False, acknowledgement=SEARCHABLE),
                found_ids(collection),
            )
            assert set(IDS[:half]) <= set(found)
            await check_searches(collection)
            await store.settle()
            await check_searches(collection)
            assert await count_all(collection) == RECORDS

    async def test_a_change_is_there_after_a_reopen(self, reopenable_store: Store) -> None:
        store = reopenable_store
        await store_records(await store.create(), IDS, vectors=STORED)
        await store.settle()
        for index in possible(store):
            await store.backend.update_collection("things", index)
            await store.reopen()
            collection = await store.backend.collection("things")
            assert collection.spec.index == index
            await check_searches(collection)
