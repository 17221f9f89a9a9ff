"""Writes that Pinecone shows late: what is called searchable, what tokens wait for, and what is refused rather than wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import Lag

from vecgate_backends.conformance.material import batch_of, found_ids, listed_ids, random_vectors, read, upsert
from vecgate_backends.conformance.tokens import READS
from vecgate_backends.contract import ByIds, Collection, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, RecordExistsError
from vecgate_backends.records import IDS_ONLY, Acknowledgement, CollectionSpec, WriteMode

KEY = "pcsk_test_key"
NEVER = 10**9
DURABLE, SEARCHABLE = Acknowledgement.DURABLE, Acknowledgement.SEARCHABLE
EACH_READ = pytest.mark.parametrize("read_count", READS)


async def collection_with_lag(emulator: Emulator, start_backend: Any, lag: Lag, **options: Any) -> Collection:
    backend = await start_backend(**options)
    await backend.create_collection(CollectionSpec("things", 6))
    emulator.project(KEY).lag = lag
    collection: Collection = await backend.collection("things")
    return collection


async def test_the_emulator_shows_a_write_late(emulator: Emulator, start_backend: Any) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(NEVER, NEVER))
    await upsert(collection, batch_of(["a"]), acknowledgement=DURABLE)
    assert await found_ids(collection) == []
    assert await listed_ids(collection) == []


@pytest.mark.parametrize("lag", [Lag(5, 0), Lag(0, 5), Lag(4, 9), Lag(9, 4)], ids=str)
async def test_a_searchable_write_is_seen_by_every_read_without_a_token(
    emulator: Emulator, start_backend: Any, lag: Lag
) -> None:
    collection = await collection_with_lag(emulator, start_backend, lag)
    for ids in (["a"], ["a", "b"]):
        result = await upsert(collection, batch_of(ids, texts=[str(len(ids))] * len(ids)))
        assert result.searchable
        assert await found_ids(collection) == await listed_ids(collection) == ids
        assert (await read(collection, "a")).text == str(len(ids))
        assert (await collection.size()).records == len(ids)
    changes = MetadataChanges({"n": 1}, frozenset())
    assert (await collection.update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE)).searchable
    assert (await read(collection, "a")).metadata == {"n": 1}
    assert (await collection.delete("", ByIds(("a",)), dry_run=False, acknowledgement=SEARCHABLE)).searchable
    assert await found_ids(collection) == await listed_ids(collection) == ["b"]


@EACH_READ
@pytest.mark.parametrize("lag", [Lag(6, 0), Lag(0, 6), Lag(3, 8)], ids=str)
async def test_a_token_waits_for_queries_and_for_fetches(
    emulator: Emulator, start_backend: Any, lag: Lag, read_count: Callable[[Collection, str], Awaitable[int]]
) -> None:
    collection = await collection_with_lag(emulator, start_backend, lag)
    first = await upsert(collection, batch_of(["a", "b"]), acknowledgement=DURABLE)
    assert not first.searchable
    assert await read_count(collection, first.consistency_token) == 2
    gone = await collection.delete("", ByIds(("b",)), dry_run=False, acknowledgement=DURABLE)
    assert await read_count(collection, gone.consistency_token) == 1
    assert await read_count(collection, first.consistency_token) == 1


async def test_a_write_that_stays_unseen_is_a_success_that_is_not_searchable(
    emulator: Emulator, start_backend: Any
) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(NEVER, 0), visible_seconds=0.1)
    result = await upsert(collection, batch_of(["a"]))
    assert list(result.errors) == [None]
    assert not result.searchable
    emulator.project(KEY).lag = Lag()
    options = SearchOptions(fields=IDS_ONLY, consistency_token=result.consistency_token)
    (hits,) = await collection.search("", random_vectors(1), options)
    assert list(hits.ids) == ["a"]


async def test_a_delete_that_stays_unseen_is_told_and_its_token_still_waits(
    emulator: Emulator, start_backend: Any
) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(), visible_seconds=0.1)
    await upsert(collection, batch_of(["a", "b"]))
    project = emulator.project(KEY)
    project.lag = Lag(queries=NEVER, fetches=0)
    result = await collection.delete("", ByIds(("a",)), dry_run=False, acknowledgement=SEARCHABLE)
    assert (result.matched, result.searchable) == (1, False)
    token = result.consistency_token
    with pytest.raises(BackendUnavailableError, match="not visible"):
        await collection.count("", Everything(), consistency_token=token)
    project.lag = Lag()
    assert await collection.count("", Everything(), consistency_token=token) == 1


@EACH_READ
async def test_a_read_whose_token_stays_unseen_is_refused_and_not_wrong(
    emulator: Emulator, start_backend: Any, read_count: Callable[[Collection, str], Awaitable[int]]
) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(0, NEVER), visible_seconds=0.1)
    token = (await upsert(collection, batch_of(["a"]), acknowledgement=DURABLE)).consistency_token
    with pytest.raises(BackendUnavailableError, match="not visible") as caught:
        await read_count(collection, token)
    assert caught.value.retry_after is not None


async def test_an_insert_knows_the_writes_of_its_own_process_that_are_not_visible_yet(
    emulator: Emulator, start_backend: Any
) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(6, 8))
    await upsert(collection, batch_of(["a"], texts=["first"]), acknowledgement=DURABLE)
    result = await upsert(collection, batch_of(["a"], texts=["second"]), mode=WriteMode.INSERT, acknowledgement=DURABLE)
    assert [type(error) for error in result.errors] == [RecordExistsError]
    changes = MetadataChanges({"n": 1}, frozenset())
    await upsert(collection, batch_of(["a"], texts=["third"]), acknowledgement=DURABLE)
    await collection.update_metadata("", Everything(), changes, acknowledgement=SEARCHABLE)
    record = await read(collection, "a")
    assert (record.text, record.metadata) == ("third", {"n": 1})


async def test_a_token_is_good_for_another_namespace_of_its_collection(emulator: Emulator, start_backend: Any) -> None:
    collection = await collection_with_lag(emulator, start_backend, Lag(3, 3))
    token = (await upsert(collection, batch_of(["a"]), acknowledgement=DURABLE)).consistency_token
    assert await collection.count("elsewhere", Everything(), consistency_token=token) == 0
