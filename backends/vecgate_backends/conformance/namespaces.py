"""Namespaces: nothing crosses them."""

from __future__ import annotations

import pytest

from vecgate_backends.conformance.material import (
    axis,
    count_all,
    found_ids,
    list_all,
    listed_ids,
    read,
    store_records,
)
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByIds, Everything, MetadataChanges
from vecgate_backends.filters import Eq
from vecgate_backends.records import Acknowledgement

NAMES = ["", "a", "A", "a b", "a/b", "..", "'\"; --", "default", "%", "~" * 64]
SEARCHABLE = Acknowledgement.SEARCHABLE


@pytest.mark.asyncio
class TestNamespaces:
    """Partitions of a collection."""

    async def test_one_id_lives_in_every_namespace_on_its_own(self, store: Store) -> None:
        collection = await store.create()
        for name in NAMES:
            await store_records(collection, ["same", f"only {name}"], namespace=name, texts=[name, None])
        for name in NAMES:
            expected = sorted(["same", f"only {name}"])
            assert await listed_ids(collection, namespace=name) == expected
            assert await found_ids(collection, namespace=name) == expected
            assert await count_all(collection, namespace=name) == 2
            assert (await read(collection, "same", namespace=name)).text == name

    async def test_a_write_in_one_changes_no_other(self, store: Store) -> None:
        collection = await store.create()
        for name in ("one", "two"):
            await store_records(collection, ["a", "b"], namespace=name, metadata=[{"of": name}] * 2)
        await store_records(collection, ["a"], namespace="one", vectors=axis(2), texts=["replaced"])
        changes = MetadataChanges({"changed": True}, frozenset())
        await collection.update_metadata("one", Everything(), changes, acknowledgement=SEARCHABLE)
        await collection.delete("one", ByIds(("b",)), dry_run=False, acknowledgement=SEARCHABLE)
        untouched = {record.id: record for record in await list_all(collection, namespace="two")}
        assert {name: (record.text, record.metadata) for name, record in untouched.items()} == {
            "a": (None, {"of": "two"}),
            "b": (None, {"of": "two"}),
        }
        assert await found_ids(collection, Eq("changed", True), namespace="two") == []
        assert await found_ids(collection, namespace="one") == ["a"]

    async def test_statistics_and_deletes_of_everything_stay_inside(self, store: Store) -> None:
        collection = await store.create()
        for name in ("", "other"):
            await store_records(collection, ["a", "b"], namespace=name, metadata=[{"of": name}] * 2)
        stats = await collection.field_stats("other", "of", None, limit=10)
        assert list(stats.values) == [("other", 2)]
        await collection.delete("", Everything(), dry_run=False, acknowledgement=SEARCHABLE)
        assert await listed_ids(collection) == []
        assert await found_ids(collection, namespace="other") == ["a", "b"]

    async def test_size_names_the_namespaces_that_hold_records(self, store: Store) -> None:
        collection = await store.create()
        assert (await collection.size()).namespaces == {}
        await store_records(collection, ["a", "b"], namespace="two")
        await store_records(collection, ["a"], namespace="")
        await store_records(collection, ["a"], namespace="gone")
        await collection.delete("gone", Everything(), dry_run=False, acknowledgement=SEARCHABLE)
        size = await collection.size()
        assert dict(size.namespaces) == {"": 1, "two": 2}
        assert size.records == 3
