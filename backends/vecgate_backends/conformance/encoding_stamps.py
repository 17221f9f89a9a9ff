"""Encoding stamps: a backend that claims to keep them does so byte for byte, with the record and nowhere else.

Each test runs on the backends that keep none too, and holds that these return none, whatever they were given.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vecgate_backends.answers import FieldStats
from vecgate_backends.conformance.material import ALL_FIELDS, batch_of, found_ids, list_all, random_vectors, upsert
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByIds, Collection, Everything, MetadataChanges, SearchOptions
from vecgate_backends.filters import Exists
from vecgate_backends.records import Acknowledgement, Fields, Metadata, WriteMode

SEARCHABLE = Acknowledgement.SEARCHABLE
STAMPS = [bytes(range(100)), b"\x00", b"\xff\xfe not UTF-8", b"text", b""]
STAMPED = list("abcde")


async def write(
    collection: Collection, stamps: Sequence[bytes], ids: Sequence[str] = STAMPED, *, mode: WriteMode = WriteMode.UPSERT
) -> None:
    """Store records with these stamps, whatever becomes of them."""
    metadata: list[Metadata] = [{"n": row} for row in range(len(ids))]
    await upsert(collection, batch_of(ids, texts=ids, metadata=metadata, encoding_stamps=stamps), mode=mode)


async def assert_stamps(
    store: Store,
    collection: Collection,
    expected: Sequence[bytes],
    ids: Sequence[str] = STAMPED,
    *,
    namespace: str = "",
) -> None:
    """Insist that get returns these stamps if the backend keeps any, and none otherwise."""
    keeps = store.backend.capabilities.encoding_stamps
    records = await collection.get(namespace, ids, Fields(encoding_stamp=True))
    assert [record and record.encoding_stamp for record in records] == [stamp if keeps else b"" for stamp in expected]


@pytest.mark.asyncio
class TestEncodingStamps:
    """Written beside a vector, returned when asked for."""

    async def test_stamps_come_back_byte_for_byte(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, STAMPS)
        await assert_stamps(store, collection, STAMPS)
        await store.settle()
        await assert_stamps(store, collection, STAMPS)

    async def test_a_stamp_comes_alone_or_beside_any_other_field(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"s"], ["a"])
        expected = b"s" if store.backend.capabilities.encoding_stamps else b""
        for text in (False, True):
            for vector in (False, True):
                fields = Fields(text=text, metadata=False, vector=vector, encoding_stamp=True)
                (record,) = await collection.get("", ["a"], fields)
                assert record is not None
                assert (record.encoding_stamp, record.text) == (expected, "a" if text else None)
                assert (record.vector is None) is not vector
                assert record.metadata == {}

    async def test_records_without_a_stamp_have_none(self, store: Store) -> None:
        collection = await store.create()
        await upsert(collection, batch_of(["a", "b"]))
        await assert_stamps(store, collection, [b"", b""], ["a", "b"])
        assert list(await collection.get("", ["absent"], Fields(encoding_stamp=True))) == [None]

    async def test_a_replacement_replaces_the_stamp_or_removes_it(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"old"] * 3, ["a", "b", "c"])
        await write(collection, [b"new", b""], ["a", "b"])
        await upsert(collection, batch_of(["c"]))
        await assert_stamps(store, collection, [b"new", b"", b""], ["a", "b", "c"])

    async def test_of_two_with_one_id_the_stamp_of_the_last_stands(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"1", b"2", b"3", b""], ["a", "b", "a", "b"])
        await assert_stamps(store, collection, [b"3", b""], ["a", "b"])

    async def test_a_refused_record_leaves_the_stamp_as_it_was(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"old"], ["a"])
        await write(collection, [b"new", b"new"], ["a", "b"], mode=WriteMode.INSERT)
        await write(collection, [b"lost", b"newer"], ["c", "b"], mode=WriteMode.UPDATE)
        await assert_stamps(store, collection, [b"old", b"newer"], ["a", "b"])

    async def test_updating_metadata_keeps_the_stamp(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, STAMPS)
        changes = MetadataChanges({"seen": True}, frozenset({"n"}))
        await collection.update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE)
        await assert_stamps(store, collection, STAMPS)

    async def test_a_stamp_goes_with_its_record(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, STAMPS)
        await collection.delete("", ByIds(("a", "b")), dry_run=False, acknowledgement=SEARCHABLE)
        await upsert(collection, batch_of(["a"]))
        await assert_stamps(store, collection, [b"", *STAMPS[2:]], ["a", *STAMPED[2:]])

    async def test_stamps_of_namespaces_are_apart(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"here"], ["a"])
        await upsert(collection, batch_of(["a"], encoding_stamps=[b"there"]), namespace="other")
        await assert_stamps(store, collection, [b"here"], ["a"])
        await assert_stamps(store, collection, [b"there"], ["a"], namespace="other")

    async def test_stamps_are_there_after_a_reopen(self, reopenable_store: Store) -> None:
        store = reopenable_store
        collection = await store.create()
        await write(collection, STAMPS)
        await store.settle()
        await write(collection, [b"", b"new"], ["a", "b"])
        await store.reopen()
        await assert_stamps(store, await store.backend.collection("things"), [b"", b"new", *STAMPS[2:]])

    async def test_nobody_sees_a_stamp_who_did_not_ask(self, store: Store) -> None:
        collection = await store.create()
        await write(collection, [b"stamp of a"], ["a"])
        (got,) = await collection.get("", ["a"], ALL_FIELDS)
        (hits,) = await collection.search("", random_vectors(1), SearchOptions(fields=ALL_FIELDS))
        seen = [got, *await list_all(collection), *(hits.records or [])]
        assert len(seen) == 3
        for record in seen:
            assert record is not None
            assert (record.text, record.metadata, record.encoding_stamp) == ("a", {"n": 0}, b"")
        for field in ("encoding_stamp", "encoding stamp", "stamp"):
            assert await found_ids(collection, Exists(field)) == []
            absent = FieldStats(values=[], distinct=0, present=0, missing=1, numbers=None, timestamps=None)
            assert await collection.field_stats("", field, None, limit=5) == absent
