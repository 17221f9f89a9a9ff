"""What is taken at once, and what one key may use; the server runs in this process, the Python client comes back by itself."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker, held_models, until
from streaming.call import StreamCall, vector_record
from streaming.serving import MODEL_NOTES, NOTES, HeldWrites, serving

from vecgate import AsyncClient, Record
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.search_pb2 import Query, SearchRequest
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.calls.caller import Caller
from vecgate_server.calls.gate import OpenGate

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
COUNT = CountRequest(collection="notes")
TEXTS = [f"{number:08}" for number in range(4)]  # of 8 tokens each


async def test_idle_streams_take_no_place_of_calls_and_are_bounded_themselves(refusal: Any) -> None:
    async with serving(max_concurrent_calls=1, max_streams=2) as (server, stub):
        idle = [StreamCall(stub) for _ in range(2)]
        for stream in idle:
            await stream.open("notes")
        assert (await stub.Count(COUNT)).count == 0
        third = StreamCall(stub)
        refused = await refusal(third.read())
        assert (refused.code, refused.reason, refused.retry_seconds) == (EXHAUSTED, "TOO_MANY_STREAMS", 1)
        assert refused.message == "2 streams are open; limits.max_streams is 2"
        idle[0].call.cancel()
        await until(lambda: server._admission.streams == 1)
        await StreamCall(stub).open("notes")


async def test_streams_of_one_key_are_bounded(refusal: Any) -> None:
    async with serving(max_streams_per_key=1) as (_, stub):
        first = StreamCall(stub)  # one that nobody holds is cancelled
        await first.open("notes")
        refused = await refusal(StreamCall(stub).read())
        assert (refused.reason, refused.retry_seconds) == ("TOO_MANY_STREAMS", 1)
        assert "limits.max_streams_per_key is 1" in refused.message


async def test_the_bytes_of_requests_in_hand_are_bounded(monkeypatch: pytest.MonkeyPatch, refusal: Any) -> None:
    writes = HeldWrites(monkeypatch)
    request = UpsertRequest(collection="notes", records=[vector_record("a", 1, 0)])
    request.records[0].text = "x" * 60_000
    async with serving(max_bytes_in_hand=100_000) as (server, stub):
        writes.hold()
        first = asyncio.ensure_future(stub.Upsert(request))
        await writes.begun.acquire()
        refused = await refusal(stub.Upsert(request))
        assert (refused.code, refused.reason, refused.retry_seconds) == (EXHAUSTED, "TOO_MANY_BYTES", 1)
        assert "limits.max_bytes_in_hand is 100000" in refused.message
        assert (await stub.Count(COUNT)).count == 0
        writes.release()
        await first
        request.records[0].text = "x" * 200_000  # alone, it is taken
        assert (await stub.Upsert(request)).stored_count == 1
        assert server._admission.request_bytes == 0


async def test_the_client_waits_for_its_turn_instead_of_failing() -> None:
    async with (
        serving(requests_per_second_per_key=20, burst_seconds=0.1) as (server, _),
        AsyncClient(server.address) as client,
    ):
        began = time.monotonic()
        counts = await asyncio.gather(*(client.count("notes") for _ in range(12)))
        assert counts == [0] * 12
        # Two are there at once, and one call went into the making of the collection.
        assert time.monotonic() - began > 9 / 20


async def test_a_caller_that_makes_too_many_requests_is_told_its_turn(refusal: Any) -> None:
    async with serving(requests_per_second_per_key=0.5, burst_seconds=4) as (_, stub):
        await stub.Count(COUNT)
        refused = await refusal(stub.Count(COUNT))
        assert (refused.code, refused.reason) == (EXHAUSTED, "KEY_RATE_EXCEEDED")
        assert "limits.requests_per_second_per_key" in refused.message
        assert 1 < refused.retry_seconds <= 2


async def test_tokens_are_charged_once_they_are_counted_and_a_debt_keeps_the_next_call_waiting(refusal: Any) -> None:
    worker = HeldWorker()
    limits: Any = {"tokens_per_second_per_key": 8, "burst_seconds": 1}
    async with serving(MODEL_NOTES, models=held_models(worker, 10_000), **limits) as (server, stub):
        request = EncodeRequest(texts=TEXTS, role=ROLE_DOCUMENT)
        assert len((await stub.Encode(request)).embeddings) == 4  # more than the burst, and yet let in
        assert len(worker.read) == 4
        refused = await refusal(stub.Encode(request))
        assert (refused.code, refused.reason) == (EXHAUSTED, "KEY_TOKENS_EXCEEDED")
        assert "limits.tokens_per_second_per_key" in refused.message
        assert 2 < refused.retry_seconds <= (4 - 1) * MAX_TOKENS / 8 + 0.125
        assert len(worker.read) == 4
        by_vector = Query(vector=Vector(packed=b"\0\0\x80\x3f\0\0\0\0"))
        assert not (await stub.Search(SearchRequest(collection="notes", query=by_vector))).result.matches
        async with AsyncClient(server.address) as client:
            encoded = await client.encode(["abcdefgh"], role="document")
            assert len(encoded.vectors) == 1


async def test_a_bulk_upsert_waits_for_its_tokens() -> None:
    limits: Any = {"tokens_per_second_per_key": 80, "burst_seconds": 0.1}
    async with (
        serving(MODEL_NOTES, models=held_models(HeldWorker(), 10_000), **limits) as (server, _),
        AsyncClient(server.address) as client,
    ):
        texts = [f"{number:08}" for number in range(16)]
        began = time.monotonic()
        result = await client.upsert_many("notes", (Record(id=text, text=text) for text in texts), batch_size=2)
        assert (result.stored, result.failures) == (16, ())
        # 128 tokens, of which 8 are there at once and the last batch's 16 are owed.
        assert time.monotonic() - began > (128 - 8 - 16) / 80


async def test_a_bulk_upsert_waits_for_a_stream() -> None:
    async with serving(NOTES, max_streams=1) as (server, stub), AsyncClient(server.address) as client:
        first = StreamCall(stub)
        await first.open("notes")
        upsert = asyncio.ensure_future(client.upsert_many("notes", [Record(id="a", vector=[1, 0])]))
        await asyncio.sleep(0.3)
        assert not upsert.done()
        await first.close()
        await first.rest()
        assert (await upsert).stored == 1


async def identify(_gate: OpenGate, _method: str, metadata: Any, _peer: str) -> Caller:
    """Take the key from the call as it is."""
    key = str(dict(metadata).get("authorization", ""))
    return Caller(key, max_calls=1 if key == "narrow" else None)


async def test_each_key_has_its_own_figures_and_is_told_them(monkeypatch: pytest.MonkeyPatch, refusal: Any) -> None:
    writes = HeldWrites(monkeypatch)
    request = UpsertRequest(collection="notes", records=[vector_record("a", 1, 0)])
    async with serving(max_calls_per_key=2) as (_, stub), AsyncExitStack() as stack:
        monkeypatch.setattr(OpenGate, "identify", identify)
        writes.hold()
        stack.callback(writes.release)
        begun = []
        for key in ("narrow", "wide", "wide"):
            begun.append(asyncio.ensure_future(stub.Upsert(request, metadata=(("authorization", key),))))
            await writes.begun.acquire()
        for key, most in (("narrow", "max_calls of the key is 1"), ("wide", "limits.max_calls_per_key is 2")):
            refused = await refusal(stub.Count(COUNT, metadata=(("authorization", key),)))
            assert (refused.code, refused.reason, refused.retry_seconds) == (EXHAUSTED, "KEY_CALLS_EXCEEDED", 1)
            assert most in refused.message
        told = await stub.GetServerInfo(GetServerInfoRequest(), metadata=(("authorization", "new"),))
        assert told.limits.max_calls_per_key == 2
        writes.release()
        await asyncio.gather(*begun)
        told = await stub.GetServerInfo(GetServerInfoRequest(), metadata=(("authorization", "narrow"),))
        assert told.limits.max_calls_per_key == 1
