"""What goes wrong between vecgate and Pinecone, what the caller is told of it, and that a retry ends in the right state."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from emulators.pinecone import Emulator, Fault
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from pydantic import SecretStr

from vecgate_backends.conformance.material import batch_of, found_ids, list_all, listed_ids, random_vectors, upsert
from vecgate_backends.contract import Collection, Everything, SearchOptions
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ExhaustedError,
    InvalidArgumentError,
    VecgateError,
)
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions
from vecgate_backends.pinecone.connection import Caller
from vecgate_backends.records import Acknowledgement, CollectionSpec
from vecgate_server.status import status_message

SPEC = CollectionSpec("things", 6)
DURABLE = Acknowledgement.DURABLE


@dataclass(frozen=True)
class Told:
    """What a client of the server reads: status, reason, seconds after which to come back; None: no use in it."""

    code: grpc.StatusCode
    reason: str
    retry_after: float | None


@dataclass(frozen=True)
class Trouble:
    """What happens to each search, what the caller is told, how often Pinecone was asked (None: as often as time allows)."""

    fault: dict[str, Any]
    told: Told
    asked: int | None
    patience: Caller = field(default_factory=lambda: Caller(30.0, 10.0))


AWAY = Told(grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", 1.0)
NO_USE = Told(grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", None)
SHORT = Caller(0.4, 0.4)
TROUBLES = {
    "hang": Trouble({"hang": True}, AWAY, 1, Caller(0.3, 0.3)),
    "connections that close": Trouble({"status": 0}, AWAY, None, SHORT),
    "503 for longer than it is tried": Trouble({"status": 503}, AWAY, None, SHORT),
    "429 for longer than it is tried": Trouble(
        {"status": 429, "headers": {"Retry-After": "30"}},
        Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 30.0),
        1,
        SHORT,
    ),
    "429 without a time": Trouble(
        {"status": 429}, Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 1.0), None, SHORT
    ),
    "the key refused": Trouble({"status": 401}, NO_USE, 1),
    "access forbidden": Trouble({"status": 403}, NO_USE, 1),
    "a request that Pinecone does not take": Trouble(
        {"status": 400, "body": {"code": 3, "message": "No", "details": []}},
        Told(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", None),
        1,
    ),
    "an answer in another form": Trouble({"status": 200, "body": {"matches": 7}}, NO_USE, 1),
}


def told_of(error: VecgateError) -> Told:
    status = status_message(error)
    reason, retry = ErrorInfo(), RetryInfo()
    seconds = None
    for detail in status.details:
        detail.Unpack(reason)
        if detail.Unpack(retry):
            seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    (code,) = [code for code in grpc.StatusCode if code.value[0] == status.code]
    return Told(code, reason.reason, seconds)


async def created(backend: PineconeBackend) -> Collection:
    await backend.create_collection(SPEC)
    return await backend.collection(SPEC.name)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_the_caller_is_told_what_is_wrong_and_whether_to_come_back(
    trouble: Trouble, emulator: Emulator, backend: PineconeBackend
) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection(SPEC.name)
    patient, collection._requests._caller = collection._requests._caller, trouble.patience
    emulator.faults.append(Fault("/query", **trouble.fault))
    with pytest.raises(VecgateError) as caught:
        await collection.search("", random_vectors(1), SearchOptions())
    assert told_of(caught.value) == trouble.told
    asked = len(emulator.requests_to("/query"))
    assert asked == trouble.asked if trouble.asked is not None else asked >= 1
    if trouble.fault.get("hang"):
        return
    emulator.faults.clear()
    collection._requests._caller = patient
    (hits,) = await collection.search("", random_vectors(1), SearchOptions())
    assert list(hits.ids) == []


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
    with pytest.raises(ExhaustedError, match="max serverless indexes"):
        await backend.create_collection(SPEC)


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
