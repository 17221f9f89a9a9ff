"""An encoder with more to do than it takes, callers that leave it, models that load badly or were replaced; on a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray
from typing_extensions import override

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
from vecgate_server.encoders.base import ModelDescription, ModelState, Role
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.runtime import Worker
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import ModelUnavailableError

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

MAX_TOKENS = 8
# As many characters as the pool takes for MAX_TOKENS tokens.
WORDS = [letter * 4 * MAX_TOKENS for letter in "abcdefghijklm"]


class HeldWorker(Worker):
    """A model of one token a letter, that answers (1, 0), can be held inside its forward pass, and fails to load on demand."""

    state = ModelState.READY
    detail = ""
    restarts = 0
    memory_bytes = 0

    def __init__(self) -> None:
        self.fingerprint = "sha256:0"
        self.failing_loads = 0
        self.entered = threading.Semaphore(0)
        self.read: list[str] = []
        self._released = threading.Event()
        self._released.set()

    @override
    def load(self) -> None:
        if self.failing_loads:
            self.failing_loads -= 1
            raise ModelUnavailableError("model held lies on a disk that is not mounted")

    @override
    def close(self) -> None:
        self.release()

    def hold(self) -> None:
        self.entered = threading.Semaphore(0)
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    @property
    @override
    def description(self) -> ModelDescription:
        return ModelDescription("held", self.fingerprint, 2, MAX_TOKENS, "", "", True, "held", "test")

    @property
    @override
    def concurrent(self) -> bool:
        return False

    @property
    @override
    def tokenizer(self) -> HeldWorker:
        return self

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        return self.tokenize([query + text for text in texts], Role.QUERY)

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:  # noqa: ARG002  # one reading for all
        letters = [np.array([ord(letter) for letter in text], np.int32) for text in texts]
        return [TokenizedText(ids[:MAX_TOKENS], np.zeros_like(ids[:MAX_TOKENS]), len(ids)) for ids in letters]

    @override
    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        return asyncio.get_running_loop().run_in_executor(None, self.run, batch, role)

    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:  # noqa: ARG002  # one answer for all
        self.read += ["".join(map(chr, text.token_ids)) for text in batch]
        self.entered.release()
        assert self._released.wait(60)
        return np.tile(np.array([1, 0], np.float32), (len(batch), 1))


@asynccontextmanager
async def serving(worker: HeldWorker) -> AsyncIterator[tuple[Server, VectorSearchServiceAsyncStub]]:
    settings = {"server": {"port": 0, "shutdown_grace_seconds": 0}, "backends": {"memory": {"kind": "memory"}}}
    models = ModelPool(
        EncoderSettings(
            default="held",
            models=(ModelSettings("held"),),
            preload=(),
            micro_batch_tokens=MAX_TOKENS,
            queue_tokens=4 * MAX_TOKENS,
            cache_mib=0,
        ),
        start=lambda *_: worker,
    )
    async with (
        Server(Settings.model_validate(settings), models=models) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, VectorSearchServiceStub(channel)


@pytest.fixture
def worker() -> HeldWorker:
    return HeldWorker()


async def entered(worker: HeldWorker) -> None:
    """Wait until the worker is inside the model."""
    assert await asyncio.to_thread(worker.entered.acquire, timeout=60)


def encode(*texts: str, role: Any = ROLE_DOCUMENT) -> EncodeRequest:
    return EncodeRequest(texts=texts, role=role)


def waiting_tokens(server: Server) -> int:
    (model,) = server._models.statuses()
    return sum(model.counters.waiting_tokens.values())


async def until(condition: Any) -> None:
    """Yield to the loop until something holds; the test's own timeout ends a wait in vain."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0)


async def test_a_full_document_queue_is_told_with_a_time_to_come_back_and_queries_still_pass(
    worker: HeldWorker, refusal: Any
) -> None:
    async with serving(worker) as (server, stub):
        await stub.CreateCollection(CreateCollectionRequest(name="a"))
        worker.hold()
        running = asyncio.ensure_future(stub.Encode(encode(WORDS[0])))
        await entered(worker)
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


async def test_callers_that_leave_or_run_out_of_time_leave_nothing_behind(worker: HeldWorker) -> None:
    async with serving(worker) as (server, stub):
        await stub.Encode(encode("warm"))
        worker.hold()
        inside = stub.Encode(encode("inside"))
        await entered(worker)
        leaves = stub.Encode(encode("leaves", "goes"))
        late = stub.Encode(encode("late", role=ROLE_QUERY), timeout=0.2)
        await until(lambda: waiting_tokens(server) >= len("leavesgoeslate"))
        inside.cancel()
        leaves.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as expired:
            await late
        assert expired.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not (waiting_tokens(server) or server._admission._in_hand))
        worker.release()
        await stub.Encode(encode("next"))
        assert worker.read == ["warm", "inside", "next"]


async def test_a_stop_while_the_encoder_is_full_ends_every_call(worker: HeldWorker, refusal: Any) -> None:
    async with serving(worker) as (server, stub):
        await stub.Encode(encode("warm"))
        worker.hold()
        calls = [asyncio.ensure_future(stub.Encode(encode(f"text {number}"))) for number in range(3)]
        await entered(worker)
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
