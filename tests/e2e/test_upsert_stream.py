"""What is said on an UpsertStream: openings, numbers, receipts, results, faults, ends; on a real socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from streaming.call import StreamCall, vector_record

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import IdList, Selector
from vecgate.v1.ingest_pb2 import UpsertStreamBatch, UpsertStreamClose, UpsertStreamOpen, UpsertStreamRequest
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.write_pb2 import (
    ACKNOWLEDGEMENT_DURABLE,
    WRITE_MODE_INSERT,
    WRITE_MODE_UPDATE,
    UpsertRequest,
)

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
OPEN = UpsertStreamOpen(collection="-")  # the test puts its own in
BATCH = UpsertStreamBatch(sequence=1, records=[vector_record("a", 1, 0)])
CLOSE = UpsertStreamClose()


@pytest.fixture
async def made(stub: VectorSearchServiceAsyncStub, collection: str) -> str:
    """An empty collection of raw vectors with two components."""
    await stub.CreateCollection(CreateCollectionRequest(name=collection, unbound=Unbound(dimension=2)))
    return collection


async def read_back(stub: VectorSearchServiceAsyncStub, collection: str, *ids: str) -> dict[str, str]:
    """Return the texts of the records that are stored, by id."""
    selector = Selector(ids=IdList(ids=ids))
    found = await stub.Get(GetRequest(collection=collection, selector=selector, fields=ReturnFields(text=True)))
    return {record.id: record.text for record in found.records}


def reasons(result: Any) -> list[str]:
    return [outcome.error.reason for outcome in result.outcomes]


async def test_a_window_comes_first_then_each_batch_has_its_receipt_before_its_result(
    stub: VectorSearchServiceAsyncStub, made: str
) -> None:
    stream = StreamCall(stub, metadata=(("x-request-id", "bulk-7"),))
    window = await stream.open(made)
    assert window.records >= 1000
    assert window.bytes >= 2**20
    for number in range(50):
        await stream.put([vector_record(f"{number}-{row}", 1, row) for row in range(3)])
    await stream.close()
    results = await stream.rest()
    assert [result.sequence for result in results] == list(range(1, 51))
    assert [[outcome.id for outcome in result.outcomes] for result in results] == [
        [f"{number}-{row}" for row in range(3)] for number in range(50)
    ]
    assert all(result.searchable and result.consistency_token for result in results)
    received = 0
    for response in stream.responses:
        if response.HasField("receipt"):
            assert response.receipt.sequence > received
            received = response.receipt.sequence
        elif response.HasField("result"):
            assert response.result.sequence <= received
    assert received == 50
    assert await stream.call.code() is grpc.StatusCode.OK
    assert dict(await stream.call.trailing_metadata())["x-request-id"] == "bulk-7"
    assert (await stub.Count(CountRequest(collection=made))).count == 150


async def test_closing_the_sending_side_ends_a_stream_like_close(stub: VectorSearchServiceAsyncStub, made: str) -> None:
    stream = StreamCall(stub)
    await stream.open(made, acknowledgement=ACKNOWLEDGEMENT_DURABLE)
    await stream.put([vector_record("a", 1, 0)])
    await stream.call.done_writing()
    (result,) = await stream.rest()
    read = CountRequest(collection=made, consistency_token=result.consistency_token)
    assert (await stub.Count(read)).count == 1


async def test_of_two_records_with_one_id_the_later_stands(stub: VectorSearchServiceAsyncStub, made: str) -> None:
    stream = StreamCall(stub)
    await stream.open(made)
    for number in range(40):
        records = [vector_record("one", 1, number), vector_record("one", 1, number)]
        for place, record in enumerate(records):
            record.text = f"batch {number}, place {place}"
        await stream.put(records)
    await stream.close()
    assert len(await stream.rest()) == 40
    assert await read_back(stub, made, "one") == {"one": "batch 39, place 1"}


async def test_a_bad_record_fails_alone_with_its_path_in_the_batch(
    stub: VectorSearchServiceAsyncStub, made: str
) -> None:
    stream = StreamCall(stub)
    await stream.open(made)
    await stream.put([vector_record("a", 1, 0), vector_record("b", 1, 2, 3), Record(id="c", text="words")])
    await stream.put([vector_record("", 1, 0), vector_record("d", 0, 0), vector_record("e", 0, 1)])
    await stream.close()
    first, second = await stream.rest()
    assert reasons(first) == ["", "DIMENSION_MISMATCH", "COLLECTION_UNBOUND"]
    assert reasons(second) == ["INVALID_ARGUMENT", "ZERO_VECTOR", ""]
    assert first.outcomes[1].error.field_violations[0].field == "records[1].vector"
    assert second.outcomes[0].error.field_violations[0].field == "records[0].id"
    assert set(await read_back(stub, made, *"abcde")) == {"a", "e"}


async def test_the_mode_holds_for_every_batch(stub: VectorSearchServiceAsyncStub, made: str) -> None:
    for mode, ids, expected in (
        (WRITE_MODE_INSERT, ("a", "a", "b"), [[""], ["RECORD_EXISTS"], [""]]),
        (WRITE_MODE_UPDATE, ("b", "c", "a"), [[""], ["RECORD_NOT_FOUND"], [""]]),
    ):
        stream = StreamCall(stub)
        await stream.open(made, mode=mode)
        for identifier in ids:
            await stream.put([vector_record(identifier, 1, 0)])
        await stream.close()
        assert [reasons(result) for result in await stream.rest()] == expected


async def test_a_batch_that_is_bad_as_a_whole_is_told_and_the_stream_goes_on(
    stub: VectorSearchServiceAsyncStub, made: str
) -> None:
    stream = StreamCall(stub)
    await stream.open(made)
    await stream.put([])
    await stream.put([vector_record("a", 1, 0)])
    await stream.put([vector_record(f"x{row}", 1, 0) for row in range(1001)])
    await stream.put([vector_record("b", 1, 0)])
    await stream.close()
    results = await stream.rest()
    assert [result.error.reason for result in results] == ["INVALID_ARGUMENT", "", "LIMIT_EXCEEDED", ""]
    assert [result.error.code for result in results] == [3, 0, 3, 0]
    assert [each.field for each in results[2].error.field_violations] == ["records"]
    assert [len(result.outcomes) for result in results] == [0, 1, 0, 1]
    assert (await stub.Count(CountRequest(collection=made))).count == 2


@pytest.mark.parametrize("sequences", [(2,), (1, 2, 2), (1, 2, 1), (1, 3), (1, 2**64 - 1)])
async def test_a_number_out_of_turn_ends_the_stream_after_the_batches_before_it(
    sequences: Sequence[int], stub: VectorSearchServiceAsyncStub, made: str, refusal: Any
) -> None:
    stream = StreamCall(stub)
    await stream.open(made)
    for place, sequence in enumerate(sequences):
        await stream.put([vector_record(f"{place}", 1, 0)], sequence)
    refused = await refusal(stream.rest())
    assert (refused.code, refused.reason, refused.fields) == (INVALID_ARGUMENT, "INVALID_ARGUMENT", ["batch.sequence"])
    good = len(sequences) - 1
    assert stream.told.count("result") == good
    assert (await stub.Count(CountRequest(collection=made))).count == good


async def test_a_batch_without_a_number_is_out_of_turn(
    stub: VectorSearchServiceAsyncStub, made: str, refusal: Any
) -> None:
    stream = StreamCall(stub)
    await stream.open(made)
    await stream.send(batch=UpsertStreamBatch(records=[vector_record("a", 1, 0)]))
    assert (await refusal(stream.rest())).fields == ["batch.sequence"]


DISORDERS: dict[str, tuple[list[UpsertStreamRequest], str, int]] = {
    "a batch first": ([UpsertStreamRequest(batch=BATCH)], "batch", 0),
    "close first": ([UpsertStreamRequest(close=CLOSE)], "close", 0),
    "nothing set first": ([UpsertStreamRequest()], "message", 0),
    "a second open": (
        [
            UpsertStreamRequest(open=OPEN),
            UpsertStreamRequest(batch=BATCH),
            UpsertStreamRequest(open=OPEN),
        ],
        "open",
        1,
    ),
    "nothing set": (
        [UpsertStreamRequest(open=OPEN), UpsertStreamRequest(batch=BATCH), UpsertStreamRequest()],
        "message",
        1,
    ),
}


@pytest.mark.parametrize(("messages", "field", "stored"), list(DISORDERS.values()), ids=list(DISORDERS))
async def test_a_message_out_of_order_ends_the_stream(
    messages: list[UpsertStreamRequest],
    field: str,
    stored: int,
    stub: VectorSearchServiceAsyncStub,
    made: str,
    refusal: Any,
) -> None:
    stream = StreamCall(stub)
    for message in messages:
        if message.HasField("open"):
            message.open.collection = made
        await stream.call.write(message)
    refused = await refusal(stream.rest())
    assert (refused.code, refused.fields) == (INVALID_ARGUMENT, [field])
    assert stream.told.count("result") == stored
    assert (await stub.Count(CountRequest(collection=made))).count == stored


async def test_a_stream_without_any_message_is_refused(stub: VectorSearchServiceAsyncStub, refusal: Any) -> None:
    stream = StreamCall(stub)
    await stream.call.done_writing()
    assert (await refusal(stream.rest())).fields == ["message"]


OPENINGS: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, list[str]]] = {
    "no such collection": ({"collection": "nowhere"}, grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", []),
    "a bad name": ({"collection": "No"}, INVALID_ARGUMENT, "INVALID_ARGUMENT", ["open.collection"]),
    "a bad namespace": ({"namespace": "é"}, INVALID_ARGUMENT, "INVALID_ARGUMENT", ["open.namespace"]),
    "an unknown mode": ({"mode": 9}, INVALID_ARGUMENT, "INVALID_ARGUMENT", ["open.mode"]),
    "an unknown level": ({"acknowledgement": 9}, INVALID_ARGUMENT, "INVALID_ARGUMENT", ["open.acknowledgement"]),
    "an unknown policy": ({"truncation": 9}, INVALID_ARGUMENT, "INVALID_ARGUMENT", ["open.truncation"]),
    "a fingerprint": (
        {"vector_fingerprint": "sha256:0"},
        grpc.StatusCode.FAILED_PRECONDITION,
        "MODEL_MISMATCH",
        [],
    ),
}


@pytest.mark.parametrize(("fields", "code", "reason", "paths"), list(OPENINGS.values()), ids=list(OPENINGS))
async def test_a_bad_opening_ends_the_stream_before_anything_happens(
    fields: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
    paths: list[str],
    stub: VectorSearchServiceAsyncStub,
    made: str,
    refusal: Callable[[Awaitable[object]], Awaitable[Any]],
) -> None:
    stream = StreamCall(stub)
    await stream.send(open=UpsertStreamOpen(**({"collection": made} | fields)))
    refused = await refusal(stream.rest())
    assert (refused.code, refused.reason, refused.fields) == (code, reason, paths)
    assert not stream.responses


async def test_a_stream_and_upsert_say_the_same_of_the_same_records(
    stub: VectorSearchServiceAsyncStub, made: str
) -> None:
    records = [vector_record("a", 1, 0), vector_record("b", 1), Record(id="c"), vector_record("", 1, 1)]
    answer = await stub.Upsert(UpsertRequest(collection=made, records=records))
    stream = StreamCall(stub)
    await stream.open(made)
    await stream.put(records)
    assert list((await stream.result()).outcomes) == list(answer.outcomes)
    stream.call.cancel()
