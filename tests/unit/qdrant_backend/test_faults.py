"""What goes wrong between vecgate and Qdrant, what the caller is told of it, and that a retry ends in the right state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from emulators.qdrant_server import Hang, QdrantEmulator, Refuse, Step, Unapplied
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

from vecgate_backends.conformance.material import (
    batch_of,
    found_ids,
    list_all,
    listed_ids,
    random_vectors,
    store_records,
    upsert,
)
from vecgate_backends.contract import ByIds, Everything, MetadataChanges, SearchOptions
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    ExhaustedError,
    StorageFullError,
    UnsupportedError,
    VecgateError,
)
from vecgate_backends.qdrant import QdrantBackend, QdrantOptions
from vecgate_backends.records import Acknowledgement, CollectionSpec, WriteMode

SEARCHABLE = Acknowledgement.SEARCHABLE
UNAVAILABLE = Refuse(grpc.StatusCode.UNAVAILABLE, "the node restarts")
SPEC = CollectionSpec("things", 6)


@dataclass(frozen=True)
class Trouble:
    """What the server does about each search, what the caller is told, and how often it was asked."""

    steps: tuple[Step, ...]
    told: Told
    asked: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> Row:
        return self.told.row("yes" if self.asked > 1 else "no")


def throttled(retry_after: int | str | None = None) -> tuple[Step, ...]:
    return (Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit", retry_after=retry_after),) * 9


TROUBLES = {
    "no answer until `timeout_seconds`": Trouble((Hang(),), AWAY, options={"timeout_seconds": 0.5}),
    "UNAVAILABLE more than `attempts` times": Trouble((UNAVAILABLE,) * 9, AWAY, 3, {"attempts": 3}),
    "throttled, with a time to come back of more than 5 s": Trouble(throttled(int(NAMED_SECONDS)), NOT_SO_SOON),
    "throttled without a time, more than `attempts` times": Trouble(throttled(), TOO_OFTEN, 2, {"attempts": 2}),
    "throttled with a time that is none, more than `attempts` times": Trouble(
        throttled("soon"), TOO_OFTEN, 2, {"attempts": 2}
    ),
    "credentials refused": Trouble((Refuse(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key"),), NO_USE),
    "access forbidden": Trouble((Refuse(grpc.StatusCode.PERMISSION_DENIED, "Forbidden"),), NO_USE),
    "an error of its own": Trouble((Refuse(grpc.StatusCode.INTERNAL, "Service internal error"),), AWAY),
    "strict mode refuses a request": Trouble(
        (Refuse(grpc.StatusCode.INVALID_ARGUMENT, "Limit exceeded 10000 > 100"),), NOT_SO
    ),
    "its disk is full": Trouble(
        (Refuse(grpc.StatusCode.INTERNAL, "No space left on device"),),
        Told(grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL", None),
    ),
    "data that it cannot read": Trouble(
        (Refuse(grpc.StatusCode.DATA_LOSS, "bad page"),), Told(grpc.StatusCode.DATA_LOSS, "DATA_LOSS", None)
    ),
}
"""By the words of docs/qdrant.md."""


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_the_caller_is_told_what_is_wrong_and_whether_to_come_back(
    trouble: Trouble, emulator: QdrantEmulator, start_backend: Any
) -> None:
    backend = await start_backend(**trouble.options)
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("QueryBatch", *trouble.steps)
    with pytest.raises(VecgateError) as caught:
        await collection.search("", random_vectors(1), SearchOptions())
    assert told_of(caught.value) == trouble.told
    assert len(emulator.called("QueryBatch")) == trouble.asked


async def test_a_server_that_goes_away_is_unavailable(emulator: QdrantEmulator, start_backend: Any) -> None:
    backend = await start_backend(attempts=2)
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.stop()
    with pytest.raises(BackendUnavailableError, match="cannot be reached") as caught:
        await collection.search("", random_vectors(1), SearchOptions())
    assert told_of(caught.value) == AWAY


async def test_a_server_that_is_not_there_is_unavailable_and_a_start_does_not_wait_for_it(
    emulator: QdrantEmulator,
) -> None:
    emulator.stop()
    backend = QdrantBackend(QdrantOptions(host="127.0.0.1", grpc_port=emulator.port, attempts=2))
    await backend.start()
    for call in (backend.check, backend.list_collections, lambda: backend.create_collection(SPEC)):
        with pytest.raises(BackendUnavailableError) as caught:
            await call()
        assert told_of(caught.value) == AWAY
    await backend.close()


async def test_a_short_absence_is_not_noticed(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("Upsert", *(UNAVAILABLE,) * 3)
    emulator.script("QueryBatch", *(UNAVAILABLE,) * 3)
    await store_records(collection, ["a"])
    assert await found_ids(collection) == ["a"]
    assert len(emulator.called("Upsert")) == 4


async def test_a_short_pause_that_qdrant_asks_for_is_kept(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("Upsert", Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "rate limit", retry_after=1))
    await store_records(collection, ["a"])
    assert await listed_ids(collection) == ["a"]


async def test_health_asks_with_the_credentials(emulator: QdrantEmulator, start_backend: Any) -> None:
    emulator.api_key = "right"
    good = await start_backend(api_key=_secret("right"))
    await good.check()
    bad = await start_backend(api_key=_secret("wrong-key"))
    with pytest.raises(BackendUnavailableError) as caught:
        await bad.check()
    assert "credentials" in caught.value.message
    assert "wrong-key" not in caught.value.message + repr(bad._options)


async def test_health_gives_up_in_time_for_who_asks(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    emulator.script("List", UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        await backend.check()
    assert len(emulator.called("List")) == 1
    await backend.check()


async def test_half_of_a_batch_fails_by_record_and_the_same_batch_again_stores_it_all(
    emulator: QdrantEmulator, start_backend: Any
) -> None:
    backend = await start_backend(batch_size=2)
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    ids = ["a", "b", "a", "c", "d", "e", "f"]
    batch = batch_of(ids, texts=[str(n) for n in range(7)])
    emulator.script("Upsert", None, Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "Not enough disk space"))
    result = await upsert(collection, batch)
    failed = [record_id for record_id, error in zip(ids, result.errors, strict=True) if error is not None]
    assert failed == ["c", "d", "e", "f"]
    assert {type(error) for error in result.errors if error is not None} == {StorageFullError}
    assert await listed_ids(collection) == ["a", "b"]
    again = await upsert(collection, batch)
    assert list(again.errors) == [None] * 7
    texts = {record.id: record.text for record in await list_all(collection)}
    assert texts == {"a": "2", "b": "1", "c": "3", "d": "4", "e": "5", "f": "6"}


async def test_a_batch_whose_first_part_fails_raises_and_stored_nothing(
    emulator: QdrantEmulator, start_backend: Any
) -> None:
    backend = await start_backend(batch_size=2, attempts=1)
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("Upsert", UNAVAILABLE)
    with pytest.raises(BackendUnavailableError):
        await upsert(collection, batch_of(list("abcdef")))
    assert await listed_ids(collection) == []


@pytest.mark.parametrize("mode", WriteMode)
async def test_a_write_whose_answer_was_lost_is_done_once(
    mode: WriteMode, emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    if mode is WriteMode.UPDATE:
        await store_records(collection, ["a", "b"])
    emulator.script("Upsert", Refuse(grpc.StatusCode.UNAVAILABLE, "connection reset", after_effect=True))
    result = await upsert(collection, batch_of(["a", "b"], texts=["new", "new"]), mode=mode)
    assert list(result.errors) == [None, None]
    assert [record.text for record in await list_all(collection)] == ["new", "new"]


async def test_changes_whose_answer_was_lost_are_counted_once(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    await store_records(collection, ["a", "b", "c"], metadata=[{"n": n} for n in range(3)])
    lost = Refuse(grpc.StatusCode.UNAVAILABLE, "connection reset", after_effect=True)
    emulator.script("SetPayload", lost)
    emulator.script("Delete", lost)
    changes = MetadataChanges({"n": "changed"}, frozenset())
    updated = await collection.update_metadata("", ByIds(("a", "b")), changes, acknowledgement=SEARCHABLE)
    deleted = await collection.delete("", ByIds(("a", "c")), dry_run=False, acknowledgement=SEARCHABLE)
    assert (updated.matched, deleted.matched) == (2, 2)
    assert [(record.id, record.metadata) for record in await list_all(collection)] == [("b", {"n": "changed"})]


async def test_a_collection_whose_making_was_answered_late_is_there_once(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    emulator.script("Create", Refuse(grpc.StatusCode.UNAVAILABLE, "connection reset", after_effect=True))
    await backend.create_collection(SPEC)
    assert list(await backend.list_collections()) == [SPEC]
    with pytest.raises(CollectionExistsError):
        await backend.create_collection(SPEC)


async def test_a_write_that_is_not_applied_in_time_is_a_success_that_its_token_waits_for(
    emulator: QdrantEmulator, backend: QdrantBackend
) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("Upsert", Unapplied())
    result = await upsert(collection, batch_of(["a"]))
    assert list(result.errors) == [None]
    assert not result.searchable
    token = result.consistency_token
    emulator.script("Delete", Unapplied())  # the write that waits for all before it
    with pytest.raises(BackendUnavailableError):
        await collection.count("", Everything(), consistency_token=token)
    assert await collection.count("", Everything(), consistency_token=token) == 1
    assert len(emulator.called("Delete")) == 2


async def test_a_message_that_is_too_large_is_not_sent_again(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    await backend.create_collection(SPEC)
    collection = await backend.collection("things")
    emulator.script("Upsert", Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "message length too large: found 9, limit 8"))
    with pytest.raises(ExhaustedError):
        await upsert(collection, batch_of(["a"]))
    assert len(emulator.called("Upsert")) == 1


async def test_a_server_that_is_too_old_is_refused(emulator: QdrantEmulator, backend: QdrantBackend) -> None:
    emulator.version = "1.16.3"
    for call in (backend.check, lambda: backend.create_collection(SPEC), lambda: backend.collection("things")):
        with pytest.raises(UnsupportedError, match=r"1\.16\.3"):
            await call()
    assert emulator.called("Create") == []


OTHERS: Mapping[str, tuple[Row, Callable[..., Any]]] = {
    "connections refused": (AWAY.row("yes"), test_a_server_that_goes_away_is_unavailable),
    "UNAVAILABLE for a moment": (UNNOTICED, test_a_short_absence_is_not_noticed),
    "throttled, with a time to come back of 5 s or less": (
        UNNOTICED,
        test_a_short_pause_that_qdrant_asks_for_is_kept,
    ),
    "a write is answered by nothing, but was done": (UNNOTICED, test_a_write_whose_answer_was_lost_is_done_once),
    "a part of a batch fails, but not the first": (
        BY_RECORD,
        test_half_of_a_batch_fails_by_record_and_the_same_batch_again_stores_it_all,
    ),
}
"""What else the page says: its row, and the test that holds it."""


def test_the_page_says_of_each_trouble_what_these_tests_hold() -> None:
    held = {name: trouble.row for name, trouble in TROUBLES.items()} | {name: row for name, (row, _) in OTHERS.items()}
    assert documented("qdrant.md", "Qdrant") == held


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)
