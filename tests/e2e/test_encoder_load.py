"""An encoder with more to do than it takes, callers that leave it, models that load badly or were replaced; on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
from faults.held_worker import MAX_TOKENS, HeldWorker, held_models, until, waiting_tokens

from vecgate.v1.collection_pb2 import CreateCollectionRequest
from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, ROLE_QUERY, EncodeRequest
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.model_pb2 import MODEL_STATE_FAILED, MODEL_STATE_READY, ListModelsRequest
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import BatchQuery, Query, SearchBatchRequest, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

# As many characters as the pool takes for MAX_TOKENS tokens.
WORDS = [letter * 4 * MAX_TOKENS for letter in "abcdefghijklm"]


@asynccontextmanager
async def serving(worker: HeldWorker) -> AsyncIterator[tuple[Server, VectorSearchServiceAsyncStub]]:
    settings = {"server": {"port": 0, "shutdown_grace_seconds": 0}, "backends": {"memory": {"kind": "memory"}}}
    async with (
        Server(Settings.model_validate(settings), models=held_models(worker)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, VectorSearchServiceStub(channel)


@pytest.fixture
def worker() -> HeldWorker:
    return HeldWorker()


def encode(*texts: str, role: Any = ROLE_DOCUMENT) -> EncodeRequest:
    return EncodeRequest(texts=texts, role=role)


async def test_a_full_document_queue_is_told_with_a_time_to_come_back_and_queries_still_pass(
    worker: HeldWorker, refusal: Any
) -> None:
    async with serving(worker) as (server, stub):
        await stub.CreateCollection(CreateCollectionRequest(name="a"))
        worker.hold()
        running = asyncio.ensure_future(stub.Encode(encode(WORDS[0])))
        await worker.has_entered()
        waiting = asyncio.ensure_future(stub.Encode(encode(*WORDS[1:4])))
        await until(lambda: waiting_tokens(server) >= 3 * MAX_TOKENS)
        records = [Record(id=str(number), text=word[:MAX_TOKENS]) for number, word in enumerate(WORDS[:8])]
        for call in (
            stub.Encode(encode(*WORDS[4:6])),
            stub.Upsert(UpsertRequest(collection="a", records=records)),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ENCODER_BUSY")
            assert refused.retry_seconds > 0
        search = asyncio.ensure_future(stub.Search(SearchRequest(collection="a", query=Query(text="query"))))
        await until(lambda: waiting_tokens(server) >= 3 * MAX_TOKENS + 5)
        worker.release()
        await asyncio.gather(running, waiting, search)
        assert worker.read[-4:] == ["query", *[word[:MAX_TOKENS] for word in WORDS[1:4]]]
        assert (await stub.Count(CountRequest(collection="a", selector=Selector(all=True)))).count == 0
        assert (await stub.Upsert(UpsertRequest(collection="a", records=records))).stored_count == 8


async def test_a_call_that_would_be_answered_after_its_deadline_is_refused_at_once(
    worker: HeldWorker, refusal: Any
) -> None:
    async with serving(worker) as (server, stub):
        # So that it is known to take 8 tokens in at least 0.2 s.
        worker.hold()
        first = asyncio.ensure_future(stub.Encode(encode(WORDS[0], role=ROLE_QUERY)))
        await worker.has_entered()
        await asyncio.sleep(0.2)
        worker.release()
        await first
        worker.hold()
        running = asyncio.ensure_future(stub.Encode(encode(WORDS[1], role=ROLE_QUERY)))
        await worker.has_entered()
        waiting = asyncio.ensure_future(stub.Encode(encode(*WORDS[2:4], role=ROLE_QUERY), timeout=60))
        await until(lambda: waiting_tokens(server) >= 2 * MAX_TOKENS)
        refused = await refusal(stub.Encode(encode(WORDS[4], role=ROLE_QUERY), timeout=0.5))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ENCODER_BUSY")
        assert "later than the call's deadline" in refused.message
        assert refused.retry_seconds > 0
        patient = asyncio.ensure_future(stub.Encode(encode(WORDS[4], role=ROLE_QUERY), timeout=60))
        await until(lambda: waiting_tokens(server) >= 3 * MAX_TOKENS)
        worker.release()
        await asyncio.gather(running, waiting, patient)


async def test_callers_that_leave_or_run_out_of_time_leave_nothing_behind(worker: HeldWorker) -> None:
    async with serving(worker) as (server, stub):
        await stub.Encode(encode("warm"))
        worker.hold()
        inside = stub.Encode(encode("inside"))
        await worker.has_entered()
        leaves = stub.Encode(encode("leaves", "goes"))
        late = stub.Encode(encode("late", role=ROLE_QUERY), timeout=0.2)
        await until(lambda: waiting_tokens(server) >= len("leavesgoeslate"))
        inside.cancel()
        leaves.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as expired:
            await late
        assert expired.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not (waiting_tokens(server) or server._admission.calls))
        worker.release()
        await stub.Encode(encode("next"))
        assert worker.read == ["warm", "inside", "next"]


async def test_a_stop_while_the_encoder_is_full_ends_every_call(worker: HeldWorker, refusal: Any) -> None:
    async with serving(worker) as (server, stub):
        await stub.Encode(encode("warm"))
        worker.hold()
        calls = [asyncio.ensure_future(stub.Encode(encode(f"text {number}"))) for number in range(3)]
        await worker.has_entered()
        stopping = asyncio.create_task(server.stop())
        refusals = [await refusal(call) for call in calls]
        assert {refused.code for refused in refusals} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        worker.release()
        await stopping


async def test_a_model_that_could_not_be_loaded_is_tried_again(worker: HeldWorker, refusal: Any) -> None:
    worker.failing_loads = 1
    async with serving(worker) as (_, stub):
        refused = await refusal(stub.Encode(encode("one")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")
        (model,) = (await stub.ListModels(ListModelsRequest())).models
        assert (model.state, model.detail) == (
            MODEL_STATE_FAILED,
            "model held lies on a disk that is not mounted",
        )
        answers = await asyncio.gather(*(stub.Encode(encode("one")) for _ in range(4)))
        assert [len(answer.embeddings) for answer in answers] == [1] * 4
        (model,) = (await stub.ListModels(ListModelsRequest())).models
        assert (model.state, model.detail) == (MODEL_STATE_READY, "test")


async def test_text_for_a_replaced_model_fails_alone_and_vectors_go_through(worker: HeldWorker) -> None:
    async with serving(worker) as (_, stub):
        await stub.CreateCollection(CreateCollectionRequest(name="a"))
        worker.fingerprint = "sha256:1"
        vector = Vector(packed=np.array([1, 0], "<f4").tobytes())
        records = [Record(id="text", text="cat"), Record(id="vector", text="cat", vector=vector)]
        written = await stub.Upsert(UpsertRequest(collection="a", records=records))
        assert [outcome.error.reason for outcome in written.outcomes] == ["MODEL_MISMATCH", ""]
        queries = [BatchQuery(query=Query(text="cat")), BatchQuery(query=Query(vector=vector))]
        found = await stub.SearchBatch(SearchBatchRequest(collection="a", queries=queries))
        assert found.outcomes[0].error.reason == "MODEL_MISMATCH"
        assert [match.id for match in found.outcomes[1].result.matches] == ["vector"]


async def test_the_token_of_a_write_that_stored_nothing_holds_no_read_back(worker: HeldWorker) -> None:
    async with serving(worker) as (_, stub):
        await stub.CreateCollection(CreateCollectionRequest(name="a"))
        written = await stub.Upsert(UpsertRequest(collection="a", records=[Record(id="1")]))
        assert (written.stored_count, written.consistency_token) == (0, "")
        token = written.consistency_token
        assert (await stub.Count(CountRequest(collection="a", consistency_token=token))).count == 0
        options = SearchOptions(consistency_token=token)
        found = await stub.Search(SearchRequest(collection="a", query=Query(text="cat"), options=options))
        assert not found.result.matches
