"""How an UpsertStream flows: what is held back, what is written together, and what a full encoder does to it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import numpy as np
import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker, held_models, until, waiting_tokens
from streaming.call import StreamCall, vector_record
from streaming.serving import MODEL_NOTES, HeldWrites, serving

from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_TRUNCATE
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchRequest
from vecgate.v1.write_pb2 import WRITE_MODE_INSERT, UpsertRequest
from vecgate_backends.errors import StorageFullError
from vecgate_server.service import encoder_turn, stream_window

EVERYTHING = CountRequest(collection="notes")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> HeldWrites:
    return HeldWrites(monkeypatch)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> HeldWorker:
    monkeypatch.setattr(encoder_turn, "LONGEST_PAUSE_SECONDS", 0.01)
    return HeldWorker()


def most_in_hand(stream: StreamCall) -> int:
    """Return how many batches were read and without a result at most, as the responses tell."""
    most = finished = 0
    for response in stream.responses:
        finished += response.HasField("result")
        if response.HasField("receipt"):
            most = max(most, response.receipt.sequence - finished)
    return most


def windows(stream: StreamCall) -> list[int]:
    """Return the sizes that the stream was told, in records."""
    return [response.window.records for response in stream.responses if response.HasField("window")]


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
        assert windows(first) == [100, 50]
        await second.close()
        assert not await second.rest()
        await first.read()
        assert windows(first) == [100, 50, 100]


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
        while stream.received < 6:
            await stream.read()
        writes.release()
        await stream.close()
        results = await stream.rest()
        assert writes.written == [["there"], ["first"], ["a", "there", "c", "a", "d"]]
        assert [[outcome.error.reason for outcome in result.outcomes] for result in results] == [
            [""],
            ["", "RECORD_EXISTS"],
            ["DIMENSION_MISMATCH", ""],
            [],
            ["INVALID_ARGUMENT"],
            ["RECORD_EXISTS", ""],
        ]
        assert [bool(result.consistency_token) for result in results] == [True, True, True, False, False, True]


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
        assert [len(ids) for ids in writes.written] == [1, 4000, 4000, 2000]


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


async def test_several_batches_are_in_the_encoder_at_once(worker: HeldWorker) -> None:
    async with serving(MODEL_NOTES, models=held_models(worker, 100 * MAX_TOKENS)) as (server, stub):
        worker.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        for number, letter in enumerate("abcde"):
            await stream.put([Record(id=f"{letter}{row}", text=letter * (number + row + 1)) for row in range(2)])
        await worker.has_entered()
        everything = sum(2 * number + 3 for number in range(5))
        await until(lambda: waiting_tokens(server) + len("".join(worker.read)) == everything)
        assert waiting_tokens(server) > everything // 2
        worker.release()
        await stream.close()
        results = await stream.rest()
        assert [[each.encoded.tokens for each in result.outcomes] for result in results] == [
            [number + 1, number + 2] for number in range(5)
        ]
        assert (await stub.Count(EVERYTHING)).count == 10


async def test_a_full_encoder_slows_a_stream_and_neither_fails_it_nor_holds_up_a_query(worker: HeldWorker) -> None:
    async with serving(MODEL_NOTES, models=held_models(worker), stream_window_records=100) as (server, stub):
        worker.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        texts = [letter * MAX_TOKENS for letter in "abcdefghijkl"]
        for text in texts:
            await stream.put([Record(id=text, text=text)])
        while len(windows(stream)) < 2 or stream.received < len(texts):
            await stream.read()
        assert windows(stream) == [100, 50]
        before = waiting_tokens(server)
        assert before <= 4 * MAX_TOKENS
        search = asyncio.ensure_future(stub.Search(SearchRequest(collection="notes", query=Query(text="query"))))
        await until(lambda: waiting_tokens(server) > before)
        read_before = len(worker.read)
        worker.release()
        await search
        assert worker.read[read_before] == "query"
        await stream.close()
        results = await stream.rest()
        assert [[each.id for each in result.outcomes] for result in results] == [[text] for text in texts]
        assert not any(each.HasField("error") for result in results for each in result.outcomes)
        assert (await stub.Count(EVERYTHING)).count == len(texts)


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
        assert windows(stream) == [100, 50, 75, 100]


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
        assert list(dict.fromkeys(windows(stream))) == [100, 50, 25, 14]


async def test_unchanged_text_is_not_encoded_again(worker: HeldWorker, writes: HeldWrites) -> None:
    async with serving(MODEL_NOTES, models=held_models(worker, 100 * MAX_TOKENS)) as (_, stub):
        reused = []
        for changing in ("new", "other"):
            writes.hold()
            stream = StreamCall(stub)
            await stream.open("notes")
            await stream.put([Record(id="first", text="first")])
            await writes.begun.acquire()
            await stream.put([vector_record("vector", 1, 0)])
            await stream.put([Record(id="same", text="same"), Record(id="changing", text=changing)])
            await until(partial(worker.read.__contains__, changing))
            await asyncio.sleep(0.05)  # until that batch is ready, behind the write that is held
            writes.release()
            await stream.close()
            results = await stream.rest()
            assert writes.written.pop() == ["vector", "same", "changing"]
            reused.append([each.encoded.reused for result in results for each in result.outcomes])
        assert sorted(worker.read) == ["first", "new", "other", "same"]
        assert reused == [[False] * 4, [True, False, True, False]]


async def test_text_that_is_too_long_fails_alone_unless_it_may_be_cut(worker: HeldWorker) -> None:
    records = [Record(id="short", text="short"), Record(id="long", text="l" * (MAX_TOKENS + 1))]
    vector = vector_record("vector", *np.ones(2))
    vector.text = "v" * (MAX_TOKENS + 1)
    async with serving(MODEL_NOTES, models=held_models(worker, 100 * MAX_TOKENS)) as (_, stub):
        refusing, cutting = StreamCall(stub), StreamCall(stub)
        await refusing.open("notes")
        await cutting.open("notes", truncation=TRUNCATION_POLICY_TRUNCATE)
        for stream in (refusing, cutting):
            await stream.put([*records, vector])
        refused = await refusing.result()
        assert [each.error.reason for each in refused.outcomes] == ["", "TEXT_TOO_LONG", ""]
        assert refused.outcomes[1].error.field_violations[0].field == "records[1].text"
        cut = await cutting.result()
        assert [each.encoded.truncated for each in cut.outcomes] == [False, True, False]
        refusing.call.cancel()
        cutting.call.cancel()
