"""Writes: grouped, each for itself, and visible as a whole."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import ByFilter, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import BackendUnavailableError, RecordExistsError, TokenInvalidError
from vecgate_backends.faiss import FaissBackend, searcher
from vecgate_backends.faiss import collection as collection_module
from vecgate_backends.faiss import partition as partition_module
from vecgate_backends.faiss import targets as targets_module
from vecgate_backends.faiss import writer as writer_module
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.consistency import ConsistencyToken
from vecgate_backends.faiss.field_index import FieldIndex
from vecgate_backends.faiss.operations import Outcome, Targets, UpdateRecordMetadata
from vecgate_backends.faiss.threads import LARGEST_NICENESS, WRITING_NICENESS
from vecgate_backends.faiss.transaction import Transaction
from vecgate_backends.filters import Eq, Exists
from vecgate_backends.records import Acknowledgement, CollectionSpec, Fields, Metric, WriteMode

OpenBackend = Callable[..., Awaitable[FaissBackend]]
Put = Callable[..., Coroutine[Any, Any, WriteResult]]


@pytest.fixture
async def collection(open_backend: OpenBackend) -> FaissCollection:
    backend = await open_backend(seal_threshold=64)
    await backend.create_collection(CollectionSpec("notes", 4, Metric.EUCLIDEAN))
    return await backend.collection("notes")


async def test_concurrent_small_writes_share_commits(collection: FaissCollection, put: Put) -> None:
    results = await asyncio.gather(*(put(collection, [f"r{number}"]) for number in range(64)))
    commits = {ConsistencyToken.decode(result.consistency_token).sequence for result in results}
    assert len(commits) <= 6
    assert (await collection.size()).records == 64


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness belongs to whole processes")
async def test_writing_yields_to_searches(collection: FaissCollection) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert (
        await collection._writer.between(niceness) == min(niceness() + WRITING_NICENESS, LARGEST_NICENESS) > niceness()
    )


async def test_who_wrote_together_before_is_waited_for_a_moment(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LONGEST_PATIENCE_SECONDS", 30.0)
    collection._writer._group_before, collection._writer._seconds_before = 3, 1000.0
    tasks = [asyncio.create_task(put(collection, [f"r{number}"])) for number in range(2)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    tasks.append(asyncio.create_task(put(collection, ["r2"])))
    results = await asyncio.gather(*tasks)
    assert len({result.consistency_token for result in results}) == 1


async def test_one_caller_alone_is_not_waited_for(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "LONGEST_PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(writer_module, "PATIENCE_SHARE", 1e9)
    async with asyncio.timeout(20):
        for number in range(5):
            await put(collection, [f"r{number}"])


async def test_writes_of_one_group_are_applied_in_order(collection: FaissCollection, put: Put) -> None:
    first, second, third = await asyncio.gather(
        put(collection, ["a"], metadata=[{"n": 1}], mode=WriteMode.INSERT),
        put(collection, ["a"], metadata=[{"n": 2}], mode=WriteMode.INSERT),
        put(collection, ["a"], metadata=[{"n": 3}], mode=WriteMode.UPDATE),
    )
    assert [type(result.errors[0]) for result in (first, second, third)] == [type(None), RecordExistsError, type(None)]
    (record,) = await collection.get("", ["a"], Fields())
    assert record is not None
    assert record.metadata == {"n": 3}


async def test_an_operation_that_breaks_fails_alone_in_its_group(collection: FaissCollection, put: Put) -> None:
    class Breaks:
        weight = 1

        def run(self, transaction: Transaction) -> Outcome[None]:
            del transaction
            raise ZeroDivisionError

    good, broken, other = await asyncio.gather(
        put(collection, ["a"]),
        collection._writer.submit(Breaks()),
        put(collection, ["b"]),
        return_exceptions=True,
    )
    assert isinstance(broken, ZeroDivisionError)
    assert isinstance(good, WriteResult)
    assert isinstance(other, WriteResult)
    assert (await collection.size()).records == 2


async def test_a_replaced_record_is_found_exactly_once_at_every_moment(collection: FaissCollection, put: Put) -> None:
    query = np.zeros((1, 4), np.float32)
    await put(collection, [f"r{number}" for number in range(100)])
    done = asyncio.Event()

    async def replace() -> None:
        for _ in range(60):
            await asyncio.gather(*(put(collection, [f"r{number}"]) for number in range(0, 100, 9)))
        done.set()

    async def watch() -> int:
        searches = 0
        while not done.is_set():
            (hits,) = await collection.search("", query, SearchOptions(top_k=200, fields=Fields(vector=True)))
            assert len(hits.ids) == len(set(hits.ids)) == 100
            assert hits.records is not None
            vectors = np.stack([record.vector for record in hits.records if record.vector is not None])
            np.testing.assert_allclose(hits.scores, -np.linalg.norm(vectors, axis=1), rtol=1e-5)
            searches += 1
            await asyncio.sleep(0)
        return searches

    _, searches = await asyncio.gather(replace(), watch())
    assert searches > 10


async def test_a_long_search_answers_records_of_one_moment_although_they_are_replaced(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "INLINE_WORK", 1)
    await test_a_replaced_record_is_found_exactly_once_at_every_moment(collection, put)


async def test_a_cancelled_write_leaves_the_collection_usable(collection: FaissCollection, put: Put) -> None:
    write = asyncio.create_task(put(collection, ["a"]))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await put(collection, ["b"])
    assert (await collection.get("", ["b"], Fields()))[0] is not None


async def test_closing_finishes_queued_writes(open_backend: OpenBackend, put: Put) -> None:
    backend = await open_backend()
    await backend.create_collection(CollectionSpec("other", 4))
    other = await backend.collection("other")
    writes = [asyncio.create_task(put(other, [f"r{number}"])) for number in range(20)]
    await asyncio.sleep(0)
    await backend.close()
    await asyncio.gather(*writes)
    with pytest.raises(BackendUnavailableError):
        await put(other, ["late"])
    assert (await (await (await open_backend()).collection("other")).size()).records == 20


async def test_a_filtered_delete_spares_what_no_longer_matches_when_it_commits(
    collection: FaissCollection, put: Put
) -> None:
    await put(collection, ["a", "b"], metadata=[{"old": True}, {"old": True}])
    changes = MetadataChanges(set={"old": False}, remove=frozenset())
    update = collection._writer.submit(UpdateRecordMetadata("", Targets(None), changes))
    deleted = await collection.delete(
        "", ByFilter(Eq("old", True)), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE
    )
    assert ((await update).value, deleted.matched) == (2, 0)
    assert await collection.count("", Everything()) == 2


async def test_the_write_ahead_log_is_emptied_while_reads_go_on(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_BYTES", 100_000)
    log = collection._writer._path.with_name("records.db-wal")
    for begin in range(0, 4000, 200):
        await put(collection, [f"r{number}" for number in range(begin, begin + 200)])
        stored = [f"r{number}" for number in range(begin + 200)]
        assert all(await collection.get("", stored, Fields(vector=True)))  # while the checkpoint tries
    await put(collection, ["last"])  # the checkpoint before it is over
    assert log.stat().st_size < 200_000
    assert all(await collection.get("", ["r0", "r3999", "last"], Fields(vector=True)))


async def test_another_program_that_reads_holds_up_the_log_and_not_the_writes(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_BYTES", 100_000)
    path = collection._writer._path
    log = path.with_name("records.db-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM records").fetchone()
        for begin in range(0, 2000, 200):
            await put(collection, [f"r{number}" for number in range(begin, begin + 200)])
        assert log.stat().st_size > 200_000
        assert "another program reads" in caplog.text
    for begin in range(2000, 2600, 200):
        await put(collection, [f"r{number}" for number in range(begin, begin + 200)])
    await put(collection, ["last"])  # the checkpoint before it is over
    assert log.stat().st_size < 200_000


@pytest.mark.parametrize("text", ["", "x", "é", "AAAA", "A" * 32, "A" * 33, "A" * 36])
async def test_a_token_that_was_never_given_is_refused(text: str, collection: FaissCollection) -> None:
    with pytest.raises(TokenInvalidError):
        await collection.count("", Everything(), consistency_token=text)


async def test_internal_ids_are_never_given_again(
    collection: FaissCollection, put: Put, open_backend: OpenBackend
) -> None:
    await put(collection, ["a", "b"])
    await collection.delete("", Everything(), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
    reopened = await (await open_backend()).collection("notes")
    await put(reopened, ["c"])
    assert reopened._partition("").metadata.matching(None).tolist() == [3]


async def test_changes_of_much_metadata_are_indexed_off_the_event_loop(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "VALUES_A_STEP", 10)
    threads: set[int] = set()
    for name in ("add", "remove"):
        original = getattr(FieldIndex, name)

        def noted(self: FieldIndex, values: Any, original: Callable[..., None] = original) -> None:
            threads.add(threading.get_ident())
            original(self, values)

        monkeypatch.setattr(FieldIndex, name, noted)
    ids = [f"r{number:02}" for number in range(60)]
    for _ in range(2):
        await put(collection, ids, metadata=[{"n": number, "even": number % 2 == 0} for number in range(60)])
    even = ByFilter(Eq("even", True))
    changes = MetadataChanges(set={"seen": "yes"}, remove=frozenset({"n"}))
    updated = await collection.update_metadata("", even, changes, acknowledgement=Acknowledgement.SEARCHABLE)
    assert updated.matched == await collection.count("", ByFilter(Eq("seen", "yes"))) == 30
    assert await collection.count("", ByFilter(Exists("n"))) == 30
    deleted = await collection.delete("", even, dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE)
    assert deleted.matched == 30
    assert await collection.count("", Everything()) == await collection.count("", ByFilter(Exists("n"))) == 30
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("inline", [0, 1000])
async def test_statistics_and_deletes_of_many_are_those_of_few(
    collection: FaissCollection, put: Put, monkeypatch: pytest.MonkeyPatch, inline: int
) -> None:
    monkeypatch.setattr(collection_module, "DESCRIBED_INLINE", inline)
    monkeypatch.setattr(targets_module, "NAMED_INLINE", inline)
    await put(collection, [f"r{number}" for number in range(50)], metadata=[{"n": number % 5} for number in range(50)])
    stats = await collection.field_stats("", "n", None, limit=2)
    assert (stats.values, stats.distinct, stats.numbers) == ([(0, 10), (1, 10)], 5, (0, 4))
    deleted = await collection.delete(
        "", ByFilter(Eq("n", 3)), dry_run=False, acknowledgement=Acknowledgement.SEARCHABLE
    )
    assert deleted.matched == 10
    assert (await collection.field_stats("", "n", None, limit=2)).distinct == 4
