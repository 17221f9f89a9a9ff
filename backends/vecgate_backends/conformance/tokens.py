"""Consistency tokens: a read that carries one sees the write that gave it; others are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from vecgate_backends.conformance.material import batch_of, found_ids, random_vectors, store_records, upsert
from vecgate_backends.conformance.store import Store
from vecgate_backends.contract import ByIds, Collection, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import TokenInvalidError
from vecgate_backends.records import IDS_ONLY, Acknowledgement

DURABLE = Acknowledgement.DURABLE


async def search_count(collection: Collection, token: str) -> int:
    """Return how many records a search finds."""
    options = SearchOptions(top_k=100, fields=IDS_ONLY, consistency_token=token)
    return len((await collection.search("", random_vectors(1), options))[0].ids)


async def get_count(collection: Collection, token: str) -> int:
    """Return how many of a, b and c are there."""
    records = await collection.get("", ["a", "b", "c"], IDS_ONLY, consistency_token=token)
    return sum(record is not None for record in records)


async def selector_count(collection: Collection, token: str) -> int:
    """Return what count says."""
    return await collection.count("", Everything(), consistency_token=token)


async def list_count(collection: Collection, token: str) -> int:
    """Return how many records the first page has."""
    page = await collection.list_records("", None, cursor=None, limit=100, fields=IDS_ONLY, consistency_token=token)
    return len(page.records)


async def stats_count(collection: Collection, token: str) -> int:
    """Return how many records lack a field that none has."""
    return (await collection.field_stats("", "absent", None, limit=1, consistency_token=token)).missing


READS: list[Callable[[Collection, str], Awaitable[int]]] = [
    search_count,
    get_count,
    selector_count,
    list_count,
    stats_count,
]
DAMAGED = ["", "garbage", "1", "\x00", "日本", "x" * 10_000]
EACH_READ = pytest.mark.parametrize("read_count", READS)


@pytest.mark.asyncio
class TestTokens:
    """Reading one's own writes."""

    @EACH_READ
    async def test_a_read_sees_the_write_whose_token_it_carries(
        self, store: Store, read_count: Callable[[Collection, str], Awaitable[int]]
    ) -> None:
        collection = await store.create()
        first = await upsert(collection, batch_of(["a", "b"]), acknowledgement=DURABLE)
        assert await read_count(collection, first.consistency_token) == 2
        second = await upsert(collection, batch_of(["c"]), acknowledgement=DURABLE)
        assert await read_count(collection, second.consistency_token) == 3
        changes = MetadataChanges({"n": 1}, frozenset())
        updated = await collection.update_metadata("", Everything(), changes, acknowledgement=DURABLE)
        assert await read_count(collection, updated.consistency_token) == 3
        deleted = await collection.delete("", ByIds(("a",)), dry_run=False, acknowledgement=DURABLE)
        assert await read_count(collection, deleted.consistency_token) == 2
        assert await read_count(collection, first.consistency_token) == 2

    @EACH_READ
    async def test_a_damaged_token_is_refused(
        self, store: Store, read_count: Callable[[Collection, str], Awaitable[int]]
    ) -> None:
        collection = await store.create()
        await store_records(collection, ["a"])
        for token in DAMAGED:
            with pytest.raises(TokenInvalidError):
                await read_count(collection, token)

    @EACH_READ
    async def test_a_token_of_another_collection_is_refused(
        self, store: Store, read_count: Callable[[Collection, str], Awaitable[int]]
    ) -> None:
        one, two = await store.create("one"), await store.create("two")
        foreign = (await store_records(one, ["a"])).consistency_token
        await store_records(two, ["a"])
        with pytest.raises(TokenInvalidError):
            await read_count(two, foreign)

    async def test_a_token_of_an_earlier_collection_of_that_name_is_refused(self, store: Store) -> None:
        token = (await store_records(await store.create(), ["a"])).consistency_token
        await store.backend.delete_collection("things")
        collection = await store.create()
        await store_records(collection, ["a"])
        with pytest.raises(TokenInvalidError):
            await selector_count(collection, token)

    async def test_a_token_outlives_a_reopen(self, reopenable_store: Store) -> None:
        store = reopenable_store
        token = (await store_records(await store.create(), ["a", "b"])).consistency_token
        await store.reopen()
        collection = await store.backend.collection("things")
        for read_count in READS:
            assert await read_count(collection, token) == 2
        assert await found_ids(collection) == ["a", "b"]
