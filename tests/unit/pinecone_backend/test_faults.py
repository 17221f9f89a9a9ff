"""What goes wrong between vecgate and Pinecone, what the caller is told of it, and that a retry ends in the right state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from emulators.pinecone import Emulator, Fault
from fault_tables import (
    AWAY,
    BY_RECORD,
    NAMED_SECONDS,
    NO_USE,
    NOT_SO,
    NOT_SO_SOON,
    TOO_OFTEN,
    UNNOTICED,
    Row,
    Told,
    documented,
    told_of,
)
from pydantic import SecretStr

from vecgate_backends.conformance.material import batch_of, found_ids, list_all, listed_ids, random_vectors, upsert
from vecgate_backends.contract import Everything, SearchOptions
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ExhaustedError,
    InvalidArgumentError,
    VecgateError,
)
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions
from vecgate_backends.pinecone.collection import PineconeCollection
from vecgate_backends.pinecone.connection import Caller
from vecgate_backends.records import Acknowledgement, CollectionSpec

SPEC = CollectionSpec("things", 6)
DURABLE = Acknowledgement.DURABLE


@dataclass(frozen=True)
class Trouble:
    """What happens to each search, what the caller is told, and whether Pinecone is asked again first."""

    fault: dict[str, Any]
    told: Told
    tried_again: bool = False

    @property
    def row(self) -> Row:
        return self.told.row("yes" if self.tried_again else "no")


SHORT = Caller(0.6, 0.15)
TROUBLES = {
    "no answer until `deadline_seconds`": Trouble({"hang": True}, AWAY, tried_again=True),
    "connections that close": Trouble({"status": 0}, AWAY, tried_again=True),
    "503 for longer than `deadline_seconds`": Trouble({"status": 503}, AWAY, tried_again=True),
    "429 with a Retry-After beyond `deadline_seconds`": Trouble(
        {"status": 429, "headers": {"Retry-After": f"{NAMED_SECONDS:g}"}}, NOT_SO_SOON
    ),
    "429 without a time, for longer than `deadline_seconds`": Trouble({"status": 429}, TOO_OFTEN, tried_again=True),
    "the key is refused": Trouble({"status": 401}, NO_USE),
    "access is forbidden": Trouble({"status": 403}, NO_USE),
    "a request that it does not take": Trouble(
        {"status": 400, "body": {"code": 3, "message": "No", "details": []}}, NOT_SO
    ),
    "an answer in another form": Trouble({"status": 200, "body": {"matches": 7}}, NO_USE),
}
"""By the words of docs/backends.md."""
FULL = Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", None)


async def created(backend: PineconeBackend) -> PineconeCollection:
    await backend.create_collection(SPEC)
    return await backend.collection(SPEC.name)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_the_caller_is_told_what_is_wrong_and_whether_to_come_back(
    trouble: Trouble, emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend)
    patient, collection._requests._caller = collection._requests._caller, SHORT
    emulator.faults.append(Fault("/query", **trouble.fault))
    with pytest.raises(VecgateError) as caught:
        await collection.search("", random_vectors(1), SearchOptions())
    assert told_of(caught.value) == trouble.told
    assert (len(emulator.requests_to("/query")) > 1) is trouble.tried_again
    if trouble.fault.get("hang"):
        return
    emulator.faults.clear()
    collection._requests._caller = patient
    (hits,) = await collection.search("", random_vectors(1), SearchOptions())
    assert list(hits.ids) == []


async def test_a_pinecone_that_goes_away_is_unavailable(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    collection._requests._caller = SHORT
    emulator.stop()
    with pytest.raises(BackendUnavailableError, match="cannot be reached") as caught:
        await collection.search("", random_vectors(1), SearchOptions())
    assert told_of(caught.value) == AWAY


async def test_a_refused_connection_is_unavailable_and_a_start_does_not_wait_for_it(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.stop()
    options = PineconeOptions(api_key=SecretStr("k"), controller_url=emulator.url, deadline_seconds=0.4)
    backend = PineconeBackend(options)
    with caplog.at_level(logging.WARNING):
        await backend.start()
    assert "cannot be reached" in caplog.text
    for call in (backend.check, backend.list_collections, lambda: backend.create_collection(SPEC)):
        with pytest.raises(BackendUnavailableError) as caught:
            await call()
        assert told_of(caught.value) == AWAY
    await backend.close()


async def test_a_burst_of_503_is_not_noticed(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    paths = ("/vectors/upsert", "/query", "/vectors/fetch", "/vectors/fetch_by_metadata", "/vectors/delete")
    emulator.faults.extend(Fault(path, 503, times=2) for path in paths)
    assert list((await upsert(collection, batch_of(["a", "b"]))).errors) == [None, None]
    assert await found_ids(collection) == await listed_ids(collection) == ["a", "b"]
    result = await collection.delete("", Everything(), dry_run=False, acknowledgement=DURABLE)
    assert result.matched == 2
    assert await listed_ids(collection) == []


async def test_a_short_retry_after_is_waited_for(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    before = len(emulator.requests_to("/vectors/upsert"))
    emulator.faults.append(Fault("/vectors/upsert", 429, times=2, headers={"Retry-After": "0.1"}))
    assert list((await upsert(collection, batch_of(["a"]))).errors) == [None]
    assert len(emulator.requests_to("/vectors/upsert")) == before + 3


@pytest.mark.parametrize("status", [503, 0], ids=["503", "lost connection"])
async def test_an_upsert_that_failed_after_it_was_stored_is_sent_again_and_ends_in_the_right_state(
    emulator: Emulator, backend: PineconeBackend, status: int
) -> None:
    collection = await created(backend)
    emulator.faults.append(Fault("/vectors/upsert", status, times=1, after_effect=True))
    batch = batch_of(["a", "b", "a"], texts=["old", "other", "new"], metadata=[{"n": 1}, {}, {"n": 2}])
    assert list((await upsert(collection, batch)).errors) == [None, None, None]
    records = {record.id: (record.text, record.metadata) for record in await list_all(collection)}
    assert records == {"a": ("new", {"n": 2}), "b": ("other", {})}
    assert (await collection.size()).records == 2


async def test_half_of_a_batch_fails_by_record_and_the_same_batch_again_stores_it_all(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend)
    ids = [f"{n:04}" for n in range(1_500)]
    batch = batch_of(ids)
    emulator.faults.append(Fault("/vectors/upsert", 403, times=1))
    result = await upsert(collection, batch)
    failed = [record_id for record_id, error in zip(ids, result.errors, strict=True) if error is not None]
    assert len(failed) in {500, 1_000}
    assert {type(error) for error in result.errors if error is not None} == {BackendUnavailableError}
    assert await listed_ids(collection) == sorted(set(ids) - set(failed))
    assert list((await upsert(collection, batch)).errors) == [None] * 1_500
    assert await listed_ids(collection) == ids


async def test_a_batch_of_which_nothing_was_stored_raises(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    emulator.faults.append(Fault("/vectors/upsert", 403))
    with pytest.raises(BackendUnavailableError):
        await upsert(collection, batch_of([f"{n:04}" for n in range(1_500)]))
    emulator.faults.clear()
    assert await listed_ids(collection) == []


async def test_a_request_that_is_too_large_after_all_is_sent_in_halves(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    collection = await created(backend)
    before = len(emulator.requests_to("/vectors/upsert"))
    emulator.faults.append(Fault("/vectors/upsert", 413, times=1))
    assert list((await upsert(collection, batch_of(list("abcde")))).errors) == [None] * 5
    assert await listed_ids(collection) == list("abcde")
    assert len(emulator.requests_to("/vectors/upsert")) == before + 3


async def test_an_index_is_never_asked_for_twice(emulator: Emulator, backend: PineconeBackend) -> None:
    emulator.faults.append(Fault("/indexes", 503, times=1, skip=0, after_effect=True))
    with pytest.raises(BackendUnavailableError) as caught:
        await backend.create_collection(SPEC)
    assert told_of(caught.value) == AWAY
    assert [request.method for request in emulator.requests_to("/indexes")].count("POST") == 1
    with pytest.raises(CollectionExistsError):
        await backend.create_collection(SPEC)
    await backend.delete_collection(SPEC.name)
    assert await listed_ids(await created(backend)) == []


async def test_a_collection_whose_making_was_cut_off_is_named_and_can_be_deleted(
    emulator: Emulator, start_backend: Any
) -> None:
    backend = await start_backend(visible_seconds=0.2)
    emulator.faults.append(Fault("/indexes", 503, times=1, after_effect=True))
    with pytest.raises(BackendUnavailableError):
        await backend.create_collection(SPEC)
    for call in (lambda: backend.collection(SPEC.name), backend.list_collections):
        with pytest.raises(BackendUnavailableError, match="half-made"):
            await call()
    await backend.delete_collection(SPEC.name)
    assert list(await backend.list_collections()) == []


async def test_settings_that_cannot_be_written_leave_no_index_behind(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    emulator.faults.append(Fault("/vectors/upsert", 403, times=1))
    with pytest.raises(BackendUnavailableError):
        await backend.create_collection(SPEC)
    with pytest.raises(CollectionNotFoundError):
        await backend.collection(SPEC.name)
    assert await listed_ids(await created(backend)) == []


async def test_a_full_project_is_told_as_such(emulator: Emulator, backend: PineconeBackend) -> None:
    emulator.project("pcsk_test_key").most_indexes = 0
    with pytest.raises(ExhaustedError, match="max serverless indexes") as caught:
        await backend.create_collection(SPEC)
    assert told_of(caught.value) == FULL


async def test_an_index_that_is_not_ready_in_time_is_told_as_such(emulator: Emulator, start_backend: Any) -> None:
    emulator.project("pcsk_test_key").ready_after = 10**6
    backend = await start_backend(ready_seconds=0.2)
    with pytest.raises(BackendUnavailableError, match="not ready"):
        await backend.create_collection(SPEC)


async def test_a_wrong_key_is_told_and_never_shown(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    options = PineconeOptions(api_key=SecretStr("pcsk_wrong_key"), controller_url=emulator.url)
    backend = PineconeBackend(options)
    with caplog.at_level(logging.DEBUG):
        await backend.start()
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.check()
    assert "refuses the API key" in caught.value.message
    assert told_of(caught.value) == NO_USE
    assert "pcsk_wrong" not in caplog.text + caught.value.message + repr(options)
    await backend.close()


async def test_health_asks_once_and_not_for_as_long_as_a_request_may_take(
    emulator: Emulator, backend: PineconeBackend
) -> None:
    before = len(emulator.requests_to("/indexes"))
    emulator.faults.append(Fault("/indexes", 503))
    with pytest.raises(BackendUnavailableError):
        await backend.check()
    assert len(emulator.requests_to("/indexes")) == before + 1


async def test_a_record_that_pinecone_cannot_hold_fails_alone(emulator: Emulator, backend: PineconeBackend) -> None:
    collection = await created(backend)
    noise = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(40_000))
    result = await upsert(collection, batch_of(["a", "b", "c"], texts=["fits", noise, "fits"]))
    assert [type(error) for error in result.errors] == [type(None), InvalidArgumentError, type(None)]
    assert "40,000" in str(result.errors[1])
    assert await listed_ids(collection) == ["a", "c"]


OTHERS: Mapping[str, tuple[Row, Callable[..., Any]]] = {
    "connections refused": (AWAY.row("yes"), test_a_pinecone_that_goes_away_is_unavailable),
    "503 for a moment": (UNNOTICED, test_a_burst_of_503_is_not_noticed),
    "429 with a Retry-After within `deadline_seconds`": (UNNOTICED, test_a_short_retry_after_is_waited_for),
    "the project is full": (FULL.row("no"), test_a_full_project_is_told_as_such),
    "an upsert fails after it was stored": (
        UNNOTICED,
        test_an_upsert_that_failed_after_it_was_stored_is_sent_again_and_ends_in_the_right_state,
    ),
    "a part of a batch fails": (
        BY_RECORD,
        test_half_of_a_batch_fails_by_record_and_the_same_batch_again_stores_it_all,
    ),
}
"""What else the page says: its row, and the test that holds it."""


def test_the_page_says_of_each_trouble_what_these_tests_hold() -> None:
    held = {name: trouble.row for name, trouble in TROUBLES.items()} | {name: row for name, (row, _) in OTHERS.items()}
    assert documented("backends.md", "Pinecone") == held
