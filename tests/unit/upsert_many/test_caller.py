"""What the caller's side sees: records read lazily and on its own thread, progress in order, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from faults.stream_stand_in import WINDOW_RECORDS, Fault, StandIn

from vecgate import AsyncClient, Client, Record, UnknownError, UpsertProgress, UpsertResult
from vecgate.upsert_stream.session import LINGER_SECONDS

UpsertMany = Callable[..., UpsertResult]


def numbered(count: int) -> Iterator[dict[str, object]]:
    return ({"id": f"id-{number}", "text": f"text {number}"} for number in range(count))


class SourceError(Exception):
    """Out of the caller's own code."""


def test_failures_are_in_the_result_by_their_place_among_all(upsert_many: UpsertMany, target: str) -> None:
    records: list[Any] = [
        *numbered(60),
        {"id": "bad-60", "text": ""},
        {"id": "odd", "text": 5},
        *numbered(3),
        {"id": 7},
    ]
    result = upsert_many(target, records)
    assert (result.stored, result.failed) == (63, 3)
    assert [(failure.index, failure.id, failure.error.reason) for failure in result.failures] == [
        (60, "bad-60", "BAD_TEXT"),
        (61, "odd", "INVALID_ARGUMENT"),
        (65, "7", "INVALID_ARGUMENT"),
    ]
    assert str(result.failures[0].error).startswith("records[60].text: bad")
    assert result.tokens == sum(len(f"text {number}") for number in [*range(60), *range(3)])
    assert (result.consistency_token[:6], result.searchable) == ("token-", True)


def test_an_on_progress_that_cannot_be_called_is_refused_before_a_record_is_read(
    upsert_many: UpsertMany, target: str
) -> None:
    records = numbered(3)
    with pytest.raises(TypeError, match=r"^on_progress: expected a function, got int$"):
        upsert_many(target, records, on_progress=5)
    assert next(records)["id"] == "id-0"


def test_failures_and_cut_texts_are_handed_to_on_progress_and_only_counted_then(
    upsert_many: UpsertMany, target: str
) -> None:
    records: list[Any] = [{"id": "bad", "text": ""}, *numbered(90), {"id": "long", "text": "x"}, {"id": 7}]
    told: list[UpsertProgress] = []
    result = upsert_many(target, records, on_progress=told.append)
    assert [failure.index for progress in told for failure in progress.failures] == [0, 92]
    assert [id_ for progress in told for id_ in progress.truncated] == ["long"]
    assert (result.stored, result.failed, result.failures, result.truncated) == (91, 2, (), ())
    with pytest.raises(UnknownError, match="2 records were not stored"):
        result.raise_for_failures()


def test_progress_is_told_after_each_batch_in_order(upsert_many: UpsertMany, target: str, service: StandIn) -> None:
    told: list[UpsertProgress] = []
    upsert_many(target, [*numbered(30), *numbered(30)], batch_size=10, on_progress=told.append)
    assert [progress.finished for progress in told] == [10, 20, 30, 40, 50, 60]
    assert [progress.stored for progress in told] == [10, 20, 30, 40, 50, 60]
    assert [progress.reused for progress in told] == [0, 0, 0, 10, 20, 30]
    assert all(progress.finished <= progress.sent <= 60 for progress in told)


def test_time_that_the_caller_takes_for_a_record_is_none_that_the_server_is_silent(
    upsert_many: UpsertMany, target: str
) -> None:
    def slow() -> Iterator[dict[str, object]]:
        for item in numbered(3):
            yield item
            time.sleep(1.5)

    assert upsert_many(target, slow(), batch_size=1, timeout=1).stored == 3


def test_nothing_to_store_is_no_fault_and_the_collection_is_checked_all_the_same(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    result = upsert_many(target, [], namespace="n", mode="update", acknowledgement="durable", vector_fingerprint="f")
    assert (result.stored, result.consistency_token) == (0, "")
    (opening,) = service.opens
    assert (opening.collection, opening.namespace, opening.vector_fingerprint) == ("docs", "n", "f")
    assert (opening.mode, opening.acknowledgement, opening.truncation) == (3, 1, 1)


def test_records_that_all_cannot_be_sent_are_told_and_none_is_sent(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    told: list[UpsertProgress] = []
    result = upsert_many(target, ({"id": number} for number in range(100)), on_progress=told.append)
    assert (result.failed, told[-1].finished, service.batches) == (100, 100, [])


def test_records_are_cut_into_batches_by_their_bytes_too(
    upsert_many: UpsertMany, target: str, service: StandIn
) -> None:
    result = upsert_many(
        target, [Record(str(number), "x" * 1_500) for number in range(20)] + [Record("big", "x" * 9_000)]
    )
    assert (result.stored, service.batches) == (21, [1] * 21)


def test_a_record_larger_than_a_message_fails_alone(upsert_many: UpsertMany, target: str) -> None:
    result = upsert_many(target, [Record("big", "x" * 60_000), Record("small", "x")])
    assert (result.stored, result.failures[0].error.reason) == (1, "LIMIT_EXCEEDED")


def test_no_more_than_the_window_is_read_ahead(upsert_many: UpsertMany, target: str, service: StandIn) -> None:
    service.faults = [Fault("applied", 3)]
    taken = finished = most = 0

    def records() -> Iterator[Record]:
        nonlocal taken, most
        for taken in range(1, 1_000):  # seen from outside
            most = max(most, taken - finished)
            yield Record(str(taken), "text")

    def note(progress: UpsertProgress) -> None:
        nonlocal finished
        finished = progress.finished

    upsert_many(target, records(), on_progress=note)
    assert WINDOW_RECORDS // 2 < most <= WINDOW_RECORDS + 1


@pytest.mark.parametrize("where", ["records", "on_progress"])
def test_what_the_callers_own_code_raises_ends_the_stream_and_is_raised(
    upsert_many: UpsertMany, target: str, service: StandIn, where: str
) -> None:
    def records() -> Iterator[dict[str, object]]:
        yield from numbered(100)
        raise SourceError

    def on_progress(_: UpsertProgress) -> None:
        if where == "on_progress":
            raise SourceError

    with pytest.raises(SourceError):
        upsert_many(target, records(), on_progress=on_progress)
    assert service.cancelled.wait(10)


def test_an_item_that_is_no_record_is_a_type_error(upsert_many: UpsertMany, target: str, service: StandIn) -> None:
    with pytest.raises(TypeError, match=r"records\[1\]: expected a .* or a mapping, got str"):
        upsert_many(target, [{"id": "a", "text": "x"}, "text"])
    assert service.cancelled.wait(10)


def test_the_callers_code_runs_on_the_callers_thread_and_no_thread_is_left(target: str, service: StandIn) -> None:
    service.faults = [Fault("applied", 2), Fault("window")]
    own, seen = threading.get_ident(), set[int]()

    def records() -> Iterator[dict[str, object]]:
        for record in numbered(300):
            seen.add(threading.get_ident())
            yield record

    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if "stream" in thread.name or "consume" in thread.name}

    with Client(target) as client:
        client.upsert_many("docs", records(), on_progress=lambda _: seen.add(threading.get_ident()))
        assert seen == {own}
        assert threads() == set()


def test_a_signal_interrupts_a_wait_for_the_server(target: str, service: StandIn) -> None:
    service.answering.clear()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with Client(target) as client:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.upsert_many("docs", numbered(1_000))
        assert service.cancelled.wait(10)
        assert client.count("docs") >= 0


def test_waiting_for_the_server_takes_no_processor_time(target: str, service: StandIn) -> None:
    service.answering.clear()
    timer = threading.Timer(1.0, service.answering.set)
    with Client(target) as client:
        timer.start()
        began = time.thread_time()
        client.upsert_many("docs", numbered(1_000))
        assert time.thread_time() - began < 0.5


def test_a_client_that_is_closed_meanwhile_says_so(target: str, service: StandIn) -> None:
    service.answering.clear()
    client = Client(target)
    timer = threading.Timer(0.3, client.close)
    timer.start()
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.upsert_many("docs", numbered(1_000))


async def test_an_asynchronous_client_that_is_closed_meanwhile_says_so(target: str, service: StandIn) -> None:
    service.answering.clear()
    client = AsyncClient(target)
    upsert = asyncio.create_task(client.upsert_many("docs", numbered(1_000)))
    await asyncio.sleep(0.3)
    await client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        await upsert


async def test_an_asynchronous_iterable_is_read_while_answers_are_looked_at(target: str) -> None:
    finished = asyncio.Event()

    async def records() -> AsyncIterator[Record]:
        for number in range(10):
            yield Record(str(number), "text")
        await finished.wait()
        yield Record("last", "text")

    def note(progress: UpsertProgress) -> None:
        if progress.finished == 10:
            finished.set()

    async with AsyncClient(target) as client:
        result = await client.upsert_many("docs", records(), on_progress=note)
    assert result.stored == 11


async def test_other_tasks_go_on_beside_an_ordinary_iterable(target: str) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with AsyncClient(target) as client:
        beside = asyncio.create_task(count())
        await client.upsert_many("docs", numbered(1_000))
        beside.cancel()
    assert turns > 50


async def test_a_cancelled_upsert_ends_its_stream_and_its_reading(target: str, service: StandIn) -> None:
    reading = asyncio.Event()
    ended = asyncio.Event()

    async def records() -> AsyncIterator[Record]:
        try:
            yield Record("a", "text")
            reading.set()
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with AsyncClient(target) as client:
        upsert = asyncio.create_task(client.upsert_many("docs", records()))
        await reading.wait()
        upsert.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upsert
        assert ended.is_set()
        assert await asyncio.to_thread(service.cancelled.wait, 10)
        others = asyncio.all_tasks() - {asyncio.current_task()}  # gRPC's own end a little after they are told to
        assert not others or not (await asyncio.wait(others, timeout=10))[1]


async def test_what_an_asynchronous_iterable_raises_is_raised(target: str, service: StandIn) -> None:
    async def records() -> AsyncIterator[Record]:
        yield Record("a", "text")
        raise SourceError

    async with AsyncClient(target) as client:
        with pytest.raises(SourceError):
            await client.upsert_many("docs", records())


def test_a_record_that_trickles_in_is_stored_before_the_next_comes_much_later(target: str, service: StandIn) -> None:
    def records() -> Iterator[dict[str, object]]:
        yield {"id": "a", "text": "x"}
        time.sleep(LINGER_SECONDS)
        yield {"id": "b", "text": "x"}
        end = time.monotonic() + 10
        while not service.texts and time.monotonic() < end:
            time.sleep(0.01)
        assert service.texts.keys() == {"a", "b"}

    with Client(target) as client:
        assert client.upsert_many("docs", records()).stored == 2


ENDLESS = """
import itertools, resource, sys, tracemalloc
from vecgate import Client, Record
enough = int(sys.argv[2])
class Enough(Exception): pass
marks = []
def note(progress):
    if len(marks) < 2 and progress.finished >= enough * (len(marks) + 1) // 2:
        marks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
    if progress.finished >= enough: raise Enough
records = (Record(str(number), "x" * 200) for number in itertools.count())
with Client(sys.argv[1]) as client:
    tracemalloc.start()
    try: client.upsert_many("docs", records, on_progress=note)
    except Enough: print(*marks)
"""


def test_an_endless_iterable_takes_no_more_memory_the_longer_it_runs(target: str, service: StandIn) -> None:
    class Nowhere(dict[str, str]):
        def __setitem__(self, key: str, value: str) -> None:
            pass

    service.texts = Nowhere()
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, target, "8000"], capture_output=True, text=True, check=True, timeout=100
    )
    first, second = map(int, done.stdout.split())
    assert second < 1.2 * first
    assert second < 3_000_000
