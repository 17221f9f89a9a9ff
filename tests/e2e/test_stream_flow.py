"""How an UpsertStream flows: what is held back, how wide its window is, and what is written together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streaming.call import StreamCall, vector_record
from streaming.serving import HeldWrites, serving

from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.write_pb2 import WRITE_MODE_INSERT, UpsertRequest
from vecgate_backends.errors import StorageFullError
from vecgate_server.service import stream_window

EVERYTHING = CountRequest(collection="notes")


@pytest.fixture(autouse=True)
def _wide_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_window, "FIRST_SHARE", 1.0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> HeldWrites:
    return HeldWrites(monkeypatch)


def most_in_hand(stream: StreamCall) -> int:
    """Return how many batches were read and without a result at most, as the responses tell."""
    most = finished = 0
    for response in stream.responses:
        finished += response.HasField("result")
        if response.HasField("receipt"):
            most = max(most, response.receipt.sequence - finished)
    return most


@pytest.mark.parametrize("limit", [{"stream_window_records": 10}, {"stream_window_bytes": 1_000_000}], ids=str)
async def test_a_sender_that_ignores_the_window_is_held(limit: Any, writes: HeldWrites) -> None:
    writes.hold()
    async with serving(**limit) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")

        async def send_all() -> None:
            for number in range(200):
                record = vector_record(str(number), 1, number)
                record.text = "x" * 100_000
                await stream.put([record])
            await stream.close()

        sending = asyncio.create_task(send_all())
        while stream.received < 10:
            assert await stream.read()
        await asyncio.sleep(0.2)  # for what should not come
        assert not sending.done()
        writes.release()
        assert [result.sequence for result in await stream.rest()] == list(range(1, 201))
        await sending
        assert most_in_hand(stream) == 10
        assert (await stub.Count(EVERYTHING)).count == 200


async def test_batches_without_records_are_held_too(writes: HeldWrites) -> None:
    writes.hold()
    async with serving(stream_window_records=10) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        await stream.put([vector_record("a", 1, 0)])
        for _ in range(100):
            await stream.put([])
        while stream.received < 10:
            await stream.read()
        await asyncio.sleep(0.2)  # for what should not come
        writes.release()
        await stream.close()
        assert len(await stream.rest()) == 101
        assert most_in_hand(stream) == 10


async def test_batches_larger_than_the_window_go_one_by_one() -> None:
    async with serving(stream_window_records=2, stream_window_bytes=1) as (_, stub):
        stream = StreamCall(stub)
        told = await stream.open("notes")
        assert (told.records, told.bytes) == (2, 1)
        for number in range(20):
            await stream.put([vector_record(f"{number}-{row}", 1, 0) for row in range(5)])
        await stream.close()
        assert len(await stream.rest()) == 20
        assert most_in_hand(stream) == 1


async def test_open_streams_share_the_window() -> None:
    async with serving(stream_window_records=100) as (_, stub):
        first, second = StreamCall(stub), StreamCall(stub)
        assert (await first.open("notes")).records == 100
        assert (await second.open("notes")).records == 50
        await first.read()
        assert first.windows == [100, 50]
        await second.close()
        assert not await second.rest()
        await first.read()
        assert first.windows == [100, 50, 100]


async def test_batches_that_come_during_a_write_are_written_together_and_each_has_its_own_result(
    writes: HeldWrites,
) -> None:
    async with serving() as (_, stub):
        await stub.Upsert(UpsertRequest(collection="notes", records=[vector_record("there", 1, 0)]))
        await writes.begun.acquire()
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes", mode=WRITE_MODE_INSERT)
        await stream.put([vector_record("first", 1, 0)])
        await writes.begun.acquire()
        await stream.put([vector_record("a", 1, 0), vector_record("there", 1, 0)])
        await stream.put([vector_record("b", 1), vector_record("c", 1, 0)])
        await stream.put([])
        await stream.put([vector_record("", 1, 0)])
        await stream.put([vector_record("a", 1, 0), vector_record("d", 1, 0)])
        await stream.put([vector_record("there", 1, 0)])
        while stream.received < 7:
            await stream.read()
        writes.release()
        await stream.close()
        results = await stream.rest()
        assert writes.written == [["there"], ["first"], ["a", "there", "c", "a", "d", "there"]]
        assert [[outcome.error.reason for outcome in result.outcomes] for result in results] == [
            [""],
            ["", "RECORD_EXISTS"],
            ["DIMENSION_MISMATCH", ""],
            [],
            ["INVALID_ARGUMENT"],
            ["RECORD_EXISTS", ""],
            ["RECORD_EXISTS"],
        ]
        tokens = [bool(result.consistency_token) for result in results]
        assert tokens == [True, True, True, False, False, True, False]
        assert [result.searchable for result in results] == tokens


async def test_a_write_takes_no_more_than_a_commit(writes: HeldWrites) -> None:
    async with serving(stream_window_records=100_000) as (_, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        for number in range(11):
            await stream.put([vector_record(f"{number}-{row}", 1, 0) for row in range(1000 if number else 1)])
        while stream.received < 11:
            await stream.read()
        writes.release()
        await stream.close()
        await stream.rest()
        sizes = [len(ids) for ids in writes.written]
        assert sizes[:3] == [1, 4000, 4000]
        assert sum(sizes) == 10_001


async def test_of_batches_that_cannot_be_written_together_those_before_the_fault_are(
    writes: HeldWrites, refusal: Any
) -> None:
    writes.fault = lambda ids: StorageFullError("the disk is full") if "large" in ids else None
    async with serving() as (_, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        for identifier in ("first", "a", "b", "large", "c"):
            await stream.put([vector_record(identifier, 1, 0)])
        while stream.received < 5:
            await stream.read()
        writes.release()
        refused = await refusal(stream.rest())
        assert refused.reason == "STORAGE_FULL"
        assert stream.told.count("result") == 3
        assert writes.written == [["first"], ["a"], ["b"]]


async def test_a_window_begins_narrow_and_widens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_window, "FIRST_SHARE", 0.125)
    async with serving(stream_window_records=800) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        for number in range(8):
            await stream.put([vector_record(str(number), 1, 0)])
            await stream.result()
        assert stream.windows == [100, 150, 225, 337, 506, 759, 800]


async def test_slow_writes_narrow_the_window_and_quick_ones_widen_it(
    writes: HeldWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(stream_window_records=100) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        writes.hold()
        monkeypatch.setattr(stream_window, "LONGEST_STAY_SECONDS", 0.01)
        await stream.put([vector_record("slow", 1, 0)])
        await writes.begun.acquire()
        await asyncio.sleep(0.03)
        writes.release()
        await stream.result()
        monkeypatch.setattr(stream_window, "LONGEST_STAY_SECONDS", 60)
        for number in range(3):
            await stream.put([vector_record(str(number), 1, 0)])
            await stream.result()
        assert stream.windows == [100, 50, 75, 100]


async def test_a_narrow_window_still_takes_two_batches(writes: HeldWrites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_window, "LONGEST_STAY_SECONDS", 0.0)
    async with serving(stream_window_records=100) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        for number in range(20):
            await stream.put([vector_record(f"{number}-{row}", 1, 0) for row in range(7)])
            await stream.result()
        await stream.close()
        await stream.rest()
        assert list(dict.fromkeys(stream.windows)) == [100, 50, 25, 14]
