"""Texts on an UpsertStream: several batches in the encoder at once, one that is full, texts that are known or too long."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker, held_models, until, waiting_tokens
from streaming.call import StreamCall, vector_record
from streaming.serving import MODEL_NOTES, HeldWrites, serving

from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_TRUNCATE
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchRequest
from vecgate_server.service import encoder_patience, stream_window

EVERYTHING = CountRequest(collection="notes")


@pytest.fixture(autouse=True)
def _wide_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_window, "FIRST_SHARE", 1.0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> HeldWrites:
    return HeldWrites(monkeypatch)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> HeldWorker:
    monkeypatch.setattr(encoder_patience, "LONGEST_PAUSE_SECONDS", 0.01)
    return HeldWorker()


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
        # One in the model and four that wait; each of the following finds no place, until the window holds no more.
        while stream.windows[-1] > 6 or stream.received < 9:
            await stream.read()
        assert stream.windows[:5] == [100, 50, 25, 12, 6]
        assert stream.received == 9
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
        assert stream.windows[-1] > 6
        assert (await stub.Count(EVERYTHING)).count == len(texts)


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
