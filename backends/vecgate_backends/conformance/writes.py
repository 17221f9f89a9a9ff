"""Writing: modes, duplicates, replacement, isolation of failures, metadata updates, deletes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from vecgate_backends.conformance.material import (
    axis,
    batch_of,
    count_all,
    found_ids,
    list_all,
    listed_ids,
    random_vectors,
    read,
    store_records,
    typed,
    upsert,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByFilter, ByIds, Everything, MetadataChanges, Selector
from vecgate_backends.errors import RecordExistsError, RecordNotFoundError
from vecgate_backends.filters import Compare, Eq, Order
from vecgate_backends.records import Acknowledgement, Metadata, WriteMode

SEARCHABLE = Acknowledgement.SEARCHABLE
LEVELS = list(Acknowledgement)
YEARS: list[Metadata] = [{"year": 2000 + n} for n in range(6)]
SELECTORS: dict[str, tuple[Selector, set[str]]] = {
    "ids": (ByIds(("a", "c", "a", "absent")), {"a", "c"}),
    "filter": (ByFilter(Compare("year", Order.GTE, 2003)), {"d", "e", "f"}),
    "everything": (Everything(), set("abcdef")),
    "no-ids": (ByIds(("absent",)), set()),
    "no-match": (ByFilter(Eq("year", 1)), set()),
}
EACH_SELECTOR = pytest.mark.parametrize(("selector", "selected"), SELECTORS.values(), ids=SELECTORS.keys())


@pytest.mark.asyncio
class TestUpsert:
    """Storing records."""

    @pytest.mark.parametrize("acknowledgement", LEVELS)
    async def test_a_stored_record_is_read_counted_listed_and_found(
        self, store: Store, acknowledgement: Acknowledgement
    ) -> None:
        collection = await store.create()
        result = await upsert(collection, batch_of(["a", "b"], texts=["one", None]), acknowledgement=acknowledgement)
        assert list(result.errors) == [None, None]
        token = result.consistency_token
        if acknowledgement is SEARCHABLE:
            assert result.searchable
        assert await collection.count("", Everything(), consistency_token=token) == 2
        assert await listed_ids(collection) == ["a", "b"]
        assert await found_ids(collection) == ["a", "b"]
        assert (await read(collection, "a")).text == "one"

    async def test_an_upsert_replaces_the_whole_record(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"], vectors=axis(0), texts=["old"], metadata=[{"old": 1, "both": "old"}])
        await store_records(collection, ["a"], vectors=axis(1), metadata=[{"both": "new"}])
        record = await read(collection, "a")
        assert record.text is None
        assert record.metadata == {"both": "new"}
        assert record.vector is not None
        assert record.vector.tobytes() == axis(1)[0].tobytes()
        assert await found_ids(collection, Eq("both", "old")) == []
        assert await found_ids(collection) == ["a"]

    async def test_the_last_of_two_upserts_in_a_batch_stands(self, store: Store) -> None:
        collection = await store.create()
        result = await upsert(collection, batch_of(["a", "b", "a"], texts=["first", "other", "last"]))
        assert list(result.errors) == [None, None, None]
        assert (await read(collection, "a")).text == "last"
        assert await count_all(collection) == 2
        assert await found_ids(collection) == ["a", "b"]

    async def test_the_same_upsert_twice_changes_nothing(self, store: Store) -> None:
        collection = await store.create()
        batch = batch_of(["a", "b"], texts=["x", ""], metadata=[{"n": 1}, {}])
        for _ in range(2):
            assert list((await upsert(collection, batch)).errors) == [None, None]
        assert sorted((record.id, record.text) for record in await list_all(collection)) == [("a", "x"), ("b", "")]

    async def test_insert_refuses_an_existing_id_alone(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["b"], texts=["old"])
        batch = batch_of(["a", "b", "c"], texts=["new"] * 3)
        result = await upsert(collection, batch, mode=WriteMode.INSERT)
        assert [type(error) for error in result.errors] == [type(None), RecordExistsError, type(None)]
        assert {record.id: record.text for record in await list_all(collection)} == {"a": "new", "b": "old", "c": "new"}

    async def test_the_first_of_two_inserts_in_a_batch_stands(self, store: Store) -> None:
        collection = await store.create()
        result = await upsert(collection, batch_of(["a", "a"], texts=["first", "second"]), mode=WriteMode.INSERT)
        assert [type(error) for error in result.errors] == [type(None), RecordExistsError]
        assert (await read(collection, "a")).text == "first"

    async def test_update_refuses_a_missing_id_alone(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["b"], texts=["old"], metadata=[{"old": True}])
        result = await upsert(collection, batch_of(["a", "b"], texts=["new"] * 2), mode=WriteMode.UPDATE)
        assert [type(error) for error in result.errors] == [RecordNotFoundError, type(None)]
        (record,) = await list_all(collection)
        assert (record.id, record.text, record.metadata) == ("b", "new", {})

    async def test_an_id_can_be_inserted_again_once_deleted(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"], texts=["old"], metadata=[{"old": True}])
        await collection.delete("", ByIds(("a",)), dry_run=False, acknowledgement=SEARCHABLE)
        result = await upsert(collection, batch_of(["a"], texts=["new"]), mode=WriteMode.INSERT)
        assert list(result.errors) == [None]
        record = await read(collection, "a")
        assert (record.text, record.metadata) == ("new", {})
        assert await found_ids(collection) == ["a"]

    async def test_inputs_are_not_mutated_nor_kept(self, store: Store) -> None:
        collection = await store.create()
        vectors = random_vectors(2)
        before = vectors.copy()
        metadata: list[Metadata] = [{"tags": ("x",)}, {}]
        batch = batch_of(["a", "b"], vectors=vectors, metadata=metadata)
        twin = copy.deepcopy(batch)
        await upsert(collection, batch)
        assert vectors.tobytes() == before.tobytes()
        assert (batch.ids, batch.texts, batch.metadata) == (twin.ids, twin.texts, twin.metadata)
        vectors[:] = 7.0
        metadata[0] = {"changed": True}
        record = await read(collection, "a")
        assert record.vector is not None
        assert np.array_equal(record.vector, before[0])
        assert record.metadata == {"tags": ("x",)}

    async def test_a_large_batch_is_stored_whole(self, store: Store) -> None:
        collection = await store.create()
        ids = [f"record-{n:05}" for n in range(5_000)]
        numbers: list[Metadata] = [{"n": n} for n in range(5_000)]
        await store_records(collection, ids, metadata=numbers, vectors=random_vectors(5_000))
        await store.settle()
        assert await count_all(collection) == 5_000
        assert await listed_ids(collection) == ids
        assert await found_ids(collection, Compare("n", Order.LT, 2_500)) == ids[:2_500]


@pytest.mark.asyncio
class TestUpdateMetadata:
    """Setting and removing metadata fields."""

    @EACH_SELECTOR
    async def test_the_selected_records_change_and_no_others(
        self, store: Store, selector: Selector, selected: set[str]
    ) -> None:
        collection = await store.create()
        texts = [f"text {name}" for name in "abcdef"]
        await store_records(collection, list("abcdef"), texts=texts, metadata=YEARS)
        before = {record.id: record for record in await list_all(collection)}
        changes = MetadataChanges({"seen": True, "title": "neu"}, frozenset({"year", "never there"}))
        result = await collection.update_metadata("", selector, changes, acknowledgement=SEARCHABLE)
        assert (result.matched, result.searchable) == (len(selected), True)
        for record in await list_all(collection):
            old = before[record.id]
            expected: Metadata = {"seen": True, "title": "neu"} if record.id in selected else old.metadata
            assert typed(record.metadata) == typed(expected)
            assert record.text == old.text
            assert record.vector is not None
            assert old.vector is not None
            assert record.vector.tobytes() == old.vector.tobytes()
        assert set(await found_ids(collection, Eq("seen", True))) == selected
        assert set(await found_ids(collection, Compare("year", Order.GT, 0))) == set("abcdef") - selected
        assert await found_ids(collection) == list("abcdef")

    async def test_a_field_can_change_its_type(self, store: Store) -> None:
        collection = await store.create()
        await store_records(collection, ["a"], metadata=[{"x": 1}])
        changes = MetadataChanges({"x": ("p", "q")}, frozenset())
        await collection.update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE)
        assert await found_ids(collection, Eq("x", 1)) == []
        assert await found_ids(collection, Eq("x", "q")) == ["a"]


@pytest.mark.asyncio
class TestDelete:
    """Removing records."""

    @EACH_SELECTOR
    async def test_the_selected_records_go_and_no_others(
        self, store: Store, selector: Selector, selected: set[str]
    ) -> None:
        collection = await store.create()
        await store_records(collection, list("abcdef"), metadata=YEARS)
        result = await collection.delete("", selector, dry_run=False, acknowledgement=SEARCHABLE)
        assert (result.matched, result.searchable) == (len(selected), True)
        left = sorted(set("abcdef") - selected)
        assert await listed_ids(collection) == left
        assert await found_ids(collection) == left
        assert await found_ids(collection, exact=True) == left
        assert await count_all(collection) == len(left)

    @EACH_SELECTOR
    async def test_a_dry_run_counts_and_removes_nothing(
        self, store: Store, selector: Selector, selected: set[str]
    ) -> None:
        collection = await store.create()
        await store_records(collection, list("abcdef"), metadata=YEARS)
        result = await collection.delete("", selector, dry_run=True, acknowledgement=SEARCHABLE)
        assert result.matched == len(selected)
        assert await listed_ids(collection) == list("abcdef")
        assert await found_ids(collection) == list("abcdef")

    async def test_what_was_deleted_stays_deleted_after_background_work(self, store: Store) -> None:
        collection = await store.create()
        ids = [f"{n:03}" for n in range(200)]
        await store_records(collection, ids, vectors=random_vectors(200))
        await store.settle()
        await collection.delete("", ByIds(tuple(ids[::2])), dry_run=False, acknowledgement=SEARCHABLE)
        await store_records(collection, ids[1:100:2], vectors=random_vectors(50, seed=1))
        await store.settle()
        assert await found_ids(collection) == ids[1::2]
        assert await found_ids(collection, exact=True) == ids[1::2]
        assert await count_all(collection) == 100
