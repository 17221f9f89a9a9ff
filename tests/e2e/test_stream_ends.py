"""How an UpsertStream ends that does not end well: the server stops, the backend is away, the client vanishes, a message is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker, held_models, until, waiting_tokens
from hostile.http2_connection import Http2Connection, grpc_message
from hyperframe.frame import DataFrame
from streaming.call import StreamCall, vector_record
from streaming.serving import MODEL_NOTES, HeldWrites, serving

from vecgate.v1.ingest_pb2 import UpsertStreamBatch, UpsertStreamOpen, UpsertStreamRequest
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate_backends.errors import BackendUnavailableError, CollectionNotFoundError
from vecgate_server.app import Server

EVERYTHING = CountRequest(collection="notes")
METHOD = "/vecgate.v1.VectorSearchService/UpsertStream"
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
TEXTS = [letter * MAX_TOKENS for letter in "abcdefgh"]
QUEUE_TOKENS = 4 * MAX_TOKENS


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> HeldWrites:
    return HeldWrites(monkeypatch)


def streams_in_hand(server: Server) -> int:
    return server._admission.streams


async def put_all(stream: StreamCall, ids: Sequence[str]) -> None:
    for identifier in ids:
        await stream.put([vector_record(identifier, 1, 0)])
    while stream.received < stream.sent:
        await stream.read()


async def test_an_idle_stream_holds_up_no_stop_and_is_told(refusal: Any) -> None:
    async with serving() as (server, stub):
        stream, unopened = StreamCall(stub), StreamCall(stub)
        await stream.open("notes")
        reading = asyncio.ensure_future(refusal(unopened.rest()))
        await until(lambda: streams_in_hand(server) == 2)
        began = time.monotonic()
        stopping = asyncio.create_task(server.stop())
        refused = await refusal(stream.rest())
        assert (refused.code, refused.reason, refused.retry_seconds) == (UNAVAILABLE, "SHUTTING_DOWN", 1)
        assert refused.request_id
        assert stream.told == ["window", "shutdown"]
        assert 0 < stream.responses[-1].shutdown.grace.ToTimedelta().total_seconds() <= 60
        assert (await reading).reason == "SHUTTING_DOWN"
        await stopping
        assert time.monotonic() - began < 30


async def test_a_stop_answers_what_was_read_and_nothing_else(writes: HeldWrites, refusal: Any) -> None:
    async with serving() as (server, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        await put_all(stream, "abc")
        stopping = asyncio.create_task(server.stop())
        while "shutdown" not in stream.told:
            await stream.read()
        for identifier in "def":
            await stream.put([vector_record(identifier, 1, 0)])
        await asyncio.sleep(0.1)  # for what should not be read
        assert not stopping.done()
        writes.release()
        refused = await refusal(stream.rest())
        assert (refused.code, refused.reason) == (UNAVAILABLE, "SHUTTING_DOWN")
        assert [each.result.sequence for each in stream.responses if each.HasField("result")] == [1, 2, 3]
        assert stream.received == 3
        assert writes.written == [["a"], ["b", "c"]]
        await stopping


async def test_a_stop_after_close_ends_with_ok(writes: HeldWrites) -> None:
    async with serving() as (server, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        await put_all(stream, "abc")
        await stream.close()
        await asyncio.sleep(0.1)  # until it was read; no answer tells of it
        stopping = asyncio.create_task(server.stop())
        while "shutdown" not in stream.told:
            await stream.read()
        writes.release()
        assert [result.sequence for result in await stream.rest()] == [1, 2, 3]
        assert await stream.call.code() is grpc.StatusCode.OK
        await stopping


@pytest.mark.parametrize("kind", ["open", "batch", "close"])
async def test_nothing_may_come_after_close(kind: str, writes: HeldWrites, refusal: Any) -> None:
    async with serving() as (_, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        await put_all(stream, "ab")
        await stream.close()
        await stream.send(**{kind: {}})
        await asyncio.sleep(0.1)  # until it was read; no answer tells of it
        writes.release()
        refused = await refusal(stream.rest())
        assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [kind])
        assert stream.told.count("result") == 2


async def test_what_was_read_and_takes_longer_than_the_grace_is_given_up(writes: HeldWrites, refusal: Any) -> None:
    async with serving() as (server, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        await put_all(stream, "abc")
        stopping = asyncio.create_task(server.stop(grace=0.5))
        refused = await refusal(stream.rest())
        assert (refused.code, refused.reason) == (UNAVAILABLE, "SHUTTING_DOWN")
        assert stream.told[-1] == "shutdown"
        assert not writes.written
        await stopping


async def test_no_stream_begins_while_the_server_stops(writes: HeldWrites, refusal: Any) -> None:
    async with serving() as (server, stub):
        writes.hold()
        stream = StreamCall(stub)
        await stream.open("notes")
        await put_all(stream, "a")
        stopping = asyncio.create_task(server.stop())
        while "shutdown" not in stream.told:
            await stream.read()
        late = StreamCall(stub)
        assert (await refusal(late.rest())).reason == "SHUTTING_DOWN"
        writes.release()
        await refusal(stream.rest())
        await stopping


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (BackendUnavailableError("the network is away", retry_after=3), "BACKEND_UNAVAILABLE"),
        (CollectionNotFoundError("there is no collection 'notes'"), "COLLECTION_NOT_FOUND"),
        (RuntimeError("a secret of the backend"), "INTERNAL"),
    ],
    ids=["away", "deleted", "bug"],
)
async def test_a_fault_of_the_backend_ends_the_stream_after_the_batches_before_it(
    fault: Exception, reason: str, writes: HeldWrites, refusal: Any
) -> None:
    async with serving() as (server, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        await stream.put([vector_record("before", 1, 0)])
        await stream.result()
        writes.fault = lambda ids: fault if "at" in ids else None
        writes.hold()
        for identifier in ("at", "after", "later"):
            await stream.put([vector_record(identifier, 1, 0)])
        while stream.received < 4:
            await stream.read()
        writes.release()
        refused = await refusal(stream.rest())
        assert refused.reason == reason
        assert refused.retry_seconds == (3 if reason == "BACKEND_UNAVAILABLE" else None)
        assert stream.told.count("result") == 1
        assert writes.written == [["before"]]
        await until(lambda: not streams_in_hand(server))
        writes.fault = lambda _: None
        again = StreamCall(stub)
        await again.open("notes")
        for identifier in ("at", "after", "later"):
            await again.put([vector_record(identifier, 1, 0)])
        await again.close()
        assert len(await again.rest()) == 3
        assert (await stub.Count(EVERYTHING)).count == 4


@asynccontextmanager
async def cancels(server: Server) -> AsyncIterator[None]:
    """Send texts and cancel the call in the end; the connection outlives it."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = StreamCall(_stub(channel))
        await stream.open("notes")
        sending = asyncio.create_task(_put_texts(stream))
        while stream.received < 6:
            await stream.read()
        yield
        stream.call.cancel()
        await until(lambda: not streams_in_hand(server))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@asynccontextmanager
async def disconnects(server: Server) -> AsyncIterator[None]:
    """Send texts and close the connection in the end without a word: a channel that is closed may cancel the call first, or keep it."""
    with Http2Connection(server.address) as connection:
        call = connection.begin("UpsertStream")
        opening = UpsertStreamRequest(open=UpsertStreamOpen(collection="notes"))
        batches = [
            UpsertStreamRequest(batch=UpsertStreamBatch(sequence=sequence, records=[Record(id=text, text=text)]))
            for sequence, text in enumerate(TEXTS, start=1)
        ]
        for message in (opening, *batches):
            connection.send(DataFrame(call, grpc_message(message.SerializeToString())))
        yield


@pytest.mark.parametrize("vanishing", [cancels, disconnects], ids=["cancels", "disconnects"])
async def test_a_client_that_vanishes_leaves_nothing_behind(
    vanishing: Callable[[Server], AbstractAsyncContextManager[None]],
) -> None:
    worker = HeldWorker()
    async with serving(MODEL_NOTES, models=held_models(worker, QUEUE_TOKENS), stream_window_records=48) as (server, _):
        before = asyncio.all_tasks()
        worker.hold()
        async with vanishing(server):
            await worker.has_entered()
            await until(lambda: waiting_tokens(server) == QUEUE_TOKENS)
            assert streams_in_hand(server)
        await until(lambda: not streams_in_hand(server))
        assert waiting_tokens(server) == 0
        await until(lambda: not {task for task in asyncio.all_tasks() - before if "vecgate_server" in repr(task)})
        worker.release()
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = _stub(channel)
            assert (await stub.Count(EVERYTHING)).count == 0
            following = StreamCall(stub)
            assert (await following.open("notes")).records == 6
            await following.put([Record(id="next", text="next")])
            await following.result()
            following.call.cancel()
        assert worker.read == ["a" * MAX_TOKENS, "next"]


def _stub(channel: grpc.aio.Channel) -> Any:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

    return VectorSearchServiceStub(channel)


async def _put_texts(stream: StreamCall) -> None:
    for text in TEXTS:
        await stream.put([Record(id=text, text=text)])


async def test_a_client_whose_time_is_over_leaves_nothing_behind(writes: HeldWrites) -> None:
    async with serving() as (server, stub):
        writes.hold()
        stream = StreamCall(stub, timeout=0.5)
        await stream.open("notes")
        await put_all(stream, "abc")
        with pytest.raises(grpc.aio.AioRpcError) as expired:
            await stream.rest()
        assert expired.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not streams_in_hand(server))
        writes.release()


@pytest.mark.parametrize(
    ("message", "reason"),
    [(b"\xff\xff", "INVALID_ARGUMENT"), (b"x" * 70_000, "REQUEST_TOO_LARGE")],
    ids=["not a message", "too large"],
)
async def test_a_message_that_cannot_be_read_ends_the_stream_after_the_batches_before_it(
    message: bytes, reason: str, refusal: Any
) -> None:
    async with serving(max_message_bytes=65_536) as (server, stub):
        async with grpc.aio.insecure_channel(server.address) as channel:
            call: Any = channel.stream_stream(METHOD)()
            opening = UpsertStreamRequest(open=UpsertStreamOpen(collection="notes"))
            await call.write(opening.SerializeToString())
            batch = UpsertStreamRequest()
            batch.batch.sequence = 1
            batch.batch.records.append(vector_record("a", 1, 0))
            await call.write(batch.SerializeToString())
            await call.write(message)

            async def to_the_end() -> None:
                while await call.read() is not grpc.aio.EOF:
                    pass

            assert (await refusal(to_the_end())).reason == reason
        assert (await stub.Count(EVERYTHING)).count == 1
