"""Rerank, and reranking inside Search and SearchBatch, on a real socket.

The models stand in for real ones: the encoder turns every text into (1, 0), so that the search's order is that of the records' angles,
and the cross-encoder reads texts as numbers and scores them by how near they are to the query's.
"""

# ruff: noqa: ARG002  # stand-ins take what the protocol gives them

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest

import vecgate
from vecgate import AsyncClient, ById
from vecgate.cli.app import run
from vecgate.v1.collection_pb2 import CreateCollectionRequest
from vecgate.v1.model_pb2 import RerankRequest
from vecgate.v1.outcome_pb2 import TRUNCATION_POLICY_ERROR, EncodedText
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.search_pb2 import (
    MATCH_LAYOUT_COLUMNS,
    BatchQuery,
    Query,
    Rerank,
    SearchBatchRequest,
    SearchOptions,
    SearchRequest,
    SearchResult,
)
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.encoders.base import (
    CrossEncoder,
    Encoder,
    EncodeTimings,
    Encoding,
    LongText,
    ModelDescription,
    ModelKind,
    ModelState,
    ModelStatus,
    PairScores,
    Role,
)
from vecgate_server.errors import EncoderBusyError, ModelKindError, ModelNotFoundError, ModelUnavailableError

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

MAX_LETTERS = 6
MAX_BATCH = 5
ENCODER = ModelDescription("encoder", "sha256:e", 2, 8, "", "", normalized=True, runtime="none", source="test")
SCORER = replace(ENCODER, name="scorer", fingerprint="sha256:c", dimension=1, kind=ModelKind.CROSS_ENCODER)


class SameVector:
    """An encoder that counts its calls."""

    description = ENCODER

    def __init__(self) -> None:
        self.calls = 0

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        self.calls += 1
        n = len(texts)
        vectors = np.tile(np.array([1, 0], np.float32), (n, 1))
        no = np.zeros(n, np.bool_)
        return Encoding(vectors, np.ones(n, np.int32), no, no, EncodeTimings(1, 2, 3))


class NumberScorer:
    """A cross-encoder that reads MAX_LETTERS letters of a pair, and can be held: always, or from some query on."""

    description = SCORER

    def __init__(self) -> None:
        self.held_query: str | None = None
        self.fault: Exception | None = None
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.left = asyncio.Event()
        self.scored: list[tuple[str, list[str]]] = []

    async def score(self, query: str, texts: Sequence[str], *, long_text: LongText = LongText.TRUNCATE) -> PairScores:
        if self.fault:
            raise self.fault
        if query == self.held_query:
            self.entered.set()
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.left.set()
                raise
        self.scored.append((query, list(texts)))
        long = np.array([len(query + text) > MAX_LETTERS for text in texts], np.bool_)
        return PairScores(
            scores=np.array([-abs(float(text) - float(query)) for text in texts], np.float32),
            tokens=np.array([min(len(query + text), MAX_LETTERS) for text in texts], np.int32),
            truncated=long,
            timings=EncodeTimings(queue_ns=10, tokenize_ns=20, encode_ns=30),
        )


class TwoModels:
    """The models of these tests; the cross-encoder may still be loading."""

    ready = True

    def __init__(self) -> None:
        self.same_vector = SameVector()
        self.scorer = NumberScorer()
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.load_fault: Exception | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        if name == "scorer":
            raise ModelKindError("model scorer is a cross-encoder")
        return self.same_vector

    async def cross_encoder(self, name: str) -> CrossEncoder:
        if name == "encoder":
            raise ModelKindError("model encoder is no cross-encoder")
        if name != "scorer":
            raise ModelNotFoundError(f"no model is called {name!r} here")
        await self.loaded.wait()
        if self.load_fault:
            raise self.load_fault
        return self.scorer

    def statuses(self) -> Sequence[ModelStatus]:
        return [
            ModelStatus("encoder", True, ModelState.READY, ENCODER),
            ModelStatus("scorer", False, ModelState.READY, SCORER),
        ]


RECORDS = [
    Record(id="a", text="1", vector=Vector(packed=np.array([1, 0.1], "<f4").tobytes())),
    Record(id="b", text="9", vector=Vector(packed=np.array([1, 0.2], "<f4").tobytes())),
    Record(id="c", vector=Vector(packed=np.array([1, 0.3], "<f4").tobytes())),
    Record(id="d", text="5", vector=Vector(packed=np.array([1, 0.4], "<f4").tobytes())),
    Record(id="e", text="7", vector=Vector(packed=np.array([1, 0.5], "<f4").tobytes())),
]
ALONG = Vector(packed=np.array([1, 0], "<f4").tobytes())


@pytest.fixture
def models() -> TwoModels:
    return TwoModels()


@pytest.fixture
async def address(models: TwoModels) -> AsyncIterator[str]:
    """A server that holds RECORDS in the collection "numbers"."""
    settings = {
        "server": {"port": 0},
        "backends": {"memory": {"kind": "memory"}},
        "limits": {"max_batch": MAX_BATCH, "max_top_k": 100, "max_text_bytes": 100},
    }
    async with (
        Server(Settings.model_validate(settings), models=models) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = VectorSearchServiceStub(channel)
        await stub.CreateCollection(CreateCollectionRequest(name="numbers"))
        assert (await stub.Upsert(UpsertRequest(collection="numbers", records=RECORDS))).stored_count == len(RECORDS)
        yield server.address


@pytest.fixture
async def rerank_stub(address: str) -> AsyncIterator[VectorSearchServiceAsyncStub]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield VectorSearchServiceStub(channel)


@pytest.fixture
def command_line(
    address: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run a command line beside the server, and return its status and what it wrote on stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    async def command(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(run, ["--target", address, *arguments])
        return status, *capfd.readouterr()

    return command


def search(text: str = "7", *, query: Query | None = None, depth: int | None = None, **choices: Any) -> SearchRequest:
    rerank = Rerank(model="scorer", depth=depth)
    return SearchRequest(
        collection="numbers", query=query or Query(text=text), options=SearchOptions(rerank=rerank, **choices)
    )


def ids(result: SearchResult) -> list[str]:
    return [match.id for match in result.matches]


async def test_texts_are_scored_in_their_order(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    answer = await rerank_stub.Rerank(RerankRequest(model="scorer", query="7", texts=["1", "7", "1000000"]))
    assert list(answer.scores) == [-6, 0, -999_993]
    assert list(answer.encoded) == [EncodedText(tokens=2), EncodedText(tokens=2), EncodedText(tokens=6, truncated=True)]
    assert (answer.model.name, answer.model.fingerprint) == ("scorer", "sha256:c")
    timings = answer.timings
    assert (timings.queue_ns, timings.tokenize_ns, timings.encode_ns, timings.rerank_ns) == (10, 20, 0, 30)
    assert timings.total_ns > 0


async def test_a_pair_longer_than_the_model_reads_is_refused_unless_truncation_is_taken(
    rerank_stub: VectorSearchServiceAsyncStub, refusal: Any
) -> None:
    request = RerankRequest(model="scorer", query="1", texts=["1", "123456"], truncation=TRUNCATION_POLICY_ERROR)
    refused = await refusal(rerank_stub.Rerank(request))
    assert (refused.reason, refused.fields) == ("TEXT_TOO_LONG", ["texts[1]"])
    del request.texts[1]
    assert list((await rerank_stub.Rerank(request)).scores) == [0]


async def test_the_best_of_the_first_matches_comes_first(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    plain = (await rerank_stub.Search(SearchRequest(collection="numbers", query=Query(text="7")))).result
    assert ids(plain) == ["a", "b", "c", "d", "e"]
    assert not plain.HasField("reranking")
    answer = await rerank_stub.Search(search("7", explain=True))
    result = answer.result
    assert ids(result) == ["e", "b", "d", "a", "c"]
    assert [match.rerank_score for match in result.matches[:4]] == [0, -2, -2, -6]
    assert not result.matches[4].HasField("rerank_score")
    scores = {match.id: match.score for match in plain.matches}
    assert {match.id: match.score for match in result.matches} == scores
    assert [match.text for match in result.matches] == ["7", "9", "5", "1", ""]
    reranking = result.reranking
    assert (reranking.applied, reranking.reason, reranking.scored_count) == (True, "", 4)
    assert (reranking.model.name, reranking.model.fingerprint) == ("scorer", "sha256:c")
    details = result.explanation.details
    assert (details["rerank_depth"].int_value, details["rerank_scored"].int_value) == (50, 4)
    timings = answer.timings
    assert (timings.queue_ns, timings.tokenize_ns, timings.encode_ns, timings.rerank_ns) == (11, 22, 3, 30)


@pytest.mark.parametrize(
    ("choices", "found", "scored"),
    [
        ({"top_k": 1}, ["e"], 4),
        ({"top_k": 2, "depth": 5}, ["e", "b"], 4),
        ({"top_k": 1, "depth": 2}, ["b"], 2),
        ({"top_k": 4, "depth": 2}, ["b", "a", "c", "d"], 2),
        ({"top_k": 5, "depth": 4}, ["b", "d", "a", "c", "e"], 3),
    ],
)
async def test_depth_bounds_what_is_scored_and_top_k_what_is_answered(
    rerank_stub: VectorSearchServiceAsyncStub, choices: dict[str, Any], found: list[str], scored: int
) -> None:
    result = (await rerank_stub.Search(search("7", **choices))).result
    assert (ids(result), result.reranking.scored_count) == (found, scored)


async def test_texts_are_read_for_the_cross_encoder_and_answered_only_if_asked_for(
    rerank_stub: VectorSearchServiceAsyncStub,
) -> None:
    bare = (await rerank_stub.Search(search("7", fields=ReturnFields()))).result
    assert ids(bare) == ["e", "b", "d", "a", "c"]
    assert not any(match.HasField("text") for match in bare.matches)
    vectors = (await rerank_stub.Search(search("7", fields=ReturnFields(vector=True), top_k=1))).result
    assert (vectors.matches[0].HasField("text"), vectors.matches[0].vector) == (False, RECORDS[4].vector)


async def test_columns_carry_both_scores(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    columns = (await rerank_stub.Search(search("7", layout=MATCH_LAYOUT_COLUMNS))).result.columns
    assert list(columns.ids) == ["e", "b", "d", "a", "c"]
    scores = np.frombuffer(columns.packed_rerank_scores, "<f4")
    assert np.array_equal(scores, [0, -2, -2, -6, np.nan], equal_nan=True)
    assert np.frombuffer(columns.packed_scores, "<f4")[0] == pytest.approx(1 / np.hypot(1, 0.5), abs=1e-6)


async def test_the_threshold_is_about_the_score_of_the_search(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    result = (await rerank_stub.Search(search("7", score_threshold=0.95))).result
    assert ids(result) == ["b", "a", "c"]


async def test_texts_that_are_cut_are_counted(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    result = (await rerank_stub.Search(search("7.00000"))).result
    assert (result.reranking.truncated_count, ids(result)[0]) == (4, "e")


@pytest.mark.parametrize("query", [Query(vector=ALONG), Query(id="a")], ids=["vector", "id"])
async def test_a_query_without_text_is_reranked_by_one_that_is_given(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels, refusal: Any, query: Query
) -> None:
    request = search(query=query)
    refused = await refusal(rerank_stub.Search(request))
    assert (refused.reason, refused.fields) == ("INVALID_ARGUMENT", ["options.rerank.query"])
    request.options.rerank.query = "4"
    request.options.top_k = 2
    assert ids((await rerank_stub.Search(request)).result) == ["d", "e" if query.id else "a"]
    assert {asked for asked, _ in models.scorer.scored} == {"4"}


async def test_a_text_given_for_reranking_stands_in_the_place_of_the_query_s_own(
    rerank_stub: VectorSearchServiceAsyncStub,
) -> None:
    request = search("7", top_k=1)
    request.options.rerank.query = "1"
    assert ids((await rerank_stub.Search(request)).result) == ["a"]


BAD_CHOICES = {
    "no model": (Rerank(), "INVALID_ARGUMENT", "options.rerank.model"),
    "an encoder": (Rerank(model="encoder"), "MODEL_KIND", "options.rerank.model"),
    "depth 0": (Rerank(model="scorer", depth=0), "INVALID_ARGUMENT", "options.rerank.depth"),
    "depth over the limit": (Rerank(model="scorer", depth=101), "LIMIT_EXCEEDED", "options.rerank.depth"),
    "a text over the limit": (Rerank(model="scorer", query="1" * 101), "LIMIT_EXCEEDED", "options.rerank.query"),
    "an unknown model": (Rerank(model="nobody's"), "MODEL_NOT_FOUND", None),
}


@pytest.mark.parametrize(("choice", "reason", "path"), BAD_CHOICES.values(), ids=BAD_CHOICES)
async def test_a_bad_choice_of_reranking_is_refused_before_any_work(
    rerank_stub: VectorSearchServiceAsyncStub,
    models: TwoModels,
    refusal: Any,
    choice: Rerank,
    reason: str,
    path: str | None,
) -> None:
    options = SearchOptions(rerank=choice)
    for call in (
        rerank_stub.Search(SearchRequest(collection="numbers", query=Query(text="7"), options=options)),
        rerank_stub.SearchBatch(
            SearchBatchRequest(collection="numbers", queries=[BatchQuery(query=Query(text="7"))], options=options)
        ),
    ):
        refused = await refusal(call)
        assert (refused.reason, refused.fields) == (reason, [] if path is None else [path])
        assert "options.rerank" in refused.message
    assert models.same_vector.calls == 0


async def test_nothing_is_found_and_nothing_is_scored(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    request = search("7")
    request.namespace = "empty"
    result = (await rerank_stub.Search(request)).result
    assert (len(result.matches), result.reranking.applied, result.reranking.scored_count) == (0, True, 0)
    assert models.scorer.scored == []


async def test_matches_without_texts_are_not_reranked_and_the_answer_says_so(
    rerank_stub: VectorSearchServiceAsyncStub,
) -> None:
    await rerank_stub.Upsert(
        UpsertRequest(collection="numbers", namespace="bare", records=[Record(id="1", vector=ALONG)])
    )
    request = search("7")
    request.namespace = "bare"
    result = (await rerank_stub.Search(request)).result
    assert (ids(result), result.matches[0].HasField("rerank_score")) == (["1"], False)
    assert (result.reranking.applied, result.reranking.reason) == (False, "none of the first matches has a text")


async def test_each_query_of_a_batch_is_reranked_by_its_own_text(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    queries = [
        BatchQuery(query=Query(text="7")),
        BatchQuery(query=Query(vector=ALONG), rerank_query="4"),
        BatchQuery(query=Query(vector=ALONG)),
        BatchQuery(query=Query(id="a"), rerank_query="1" * 101),
    ]
    options = SearchOptions(rerank=Rerank(model="scorer"), top_k=2)
    request = SearchBatchRequest(collection="numbers", queries=queries, options=options)
    answer = await rerank_stub.SearchBatch(request)
    assert [ids(outcome.result) for outcome in answer.outcomes[:2]] == [["e", "b"], ["d", "a"]]
    assert answer.timings.rerank_ns == 60
    errors = [outcome.error for outcome in answer.outcomes[2:]]
    assert [error.reason for error in errors] == ["INVALID_ARGUMENT", "LIMIT_EXCEEDED"]
    assert [violation.field for error in errors for violation in error.field_violations] == [
        "queries[2].rerank_query",
        "queries[3].rerank_query",
    ]
    request.options.rerank.query = "9"
    assert [ids(outcome.result) for outcome in (await rerank_stub.SearchBatch(request)).outcomes[:3]] == [
        ["b", "e"],
        ["d", "a"],
        ["b", "e"],
    ]


async def test_a_text_to_rerank_by_without_reranking_is_refused(rerank_stub: VectorSearchServiceAsyncStub) -> None:
    queries = [BatchQuery(query=Query(text="7"), rerank_query="4")]
    answer = await rerank_stub.SearchBatch(SearchBatchRequest(collection="numbers", queries=queries))
    (violation,) = answer.outcomes[0].error.field_violations
    assert violation.field == "queries[0].rerank_query"


async def test_an_answer_whose_deadline_came_first_is_that_of_the_search_and_the_scoring_is_dropped(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.scorer.held_query = "7"
    answer = await rerank_stub.Search(search("7", top_k=3, explain=True), timeout=3)
    result = answer.result
    assert ids(result) == ["a", "b", "c"]
    assert not any(match.HasField("rerank_score") for match in result.matches)
    reranking = result.reranking
    assert (reranking.applied, reranking.reason) == (False, "the call's deadline came first")
    assert (reranking.model.fingerprint, reranking.scored_count) == ("sha256:c", 0)
    assert result.explanation.details["rerank_scored"].int_value == 0
    assert answer.timings.rerank_ns > 0
    assert (models.scorer.left.is_set(), models.scorer.scored) == (True, [])


async def test_columns_that_were_not_reranked_have_no_second_score(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.scorer.held_query = "7"
    result = (await rerank_stub.Search(search("7", layout=MATCH_LAYOUT_COLUMNS), timeout=2)).result
    assert (list(result.columns.ids), result.columns.packed_rerank_scores) == (["a", "b", "c", "d", "e"], b"")
    assert not result.reranking.applied


async def test_a_cross_encoder_that_loads_longer_than_the_caller_waits_leaves_the_answer_unranked(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.loaded.clear()
    result = (await rerank_stub.Search(search("7"), timeout=2)).result
    assert (ids(result), result.reranking.applied) == (["a", "b", "c", "d", "e"], False)
    assert (result.reranking.model.name, result.reranking.model.fingerprint) == ("scorer", "")


async def test_the_deadline_of_a_batch_leaves_what_was_reranked_as_it_is(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.scorer.held_query = "5"
    queries = [BatchQuery(query=Query(text=text)) for text in ("7", "5", "7")]
    options = SearchOptions(rerank=Rerank(model="scorer"), top_k=1)
    request = SearchBatchRequest(collection="numbers", queries=queries, options=options)
    answer = await rerank_stub.SearchBatch(request, timeout=2)
    results = [outcome.result for outcome in answer.outcomes]
    assert [result.reranking.applied for result in results] == [True, False, False]
    assert [ids(result) for result in results] == [["e"], ["a"], ["a"]]


async def test_a_call_without_a_deadline_waits_for_the_cross_encoder(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.loaded.clear()
    models.scorer.held_query = "7"
    call = asyncio.ensure_future(rerank_stub.Search(search("7")))
    await asyncio.sleep(0.1)
    models.loaded.set()
    await models.scorer.entered.wait()
    assert not call.done()
    models.scorer.released.set()
    assert ids((await call).result)[0] == "e"


async def test_a_caller_that_leaves_drops_the_scoring(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels
) -> None:
    models.scorer.held_query = "7"
    call = rerank_stub.Search(search("7"))
    await models.scorer.entered.wait()
    call.cancel()
    await models.scorer.left.wait()
    assert models.scorer.scored == []


async def test_an_overloaded_cross_encoder_refuses_the_search(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels, refusal: Any
) -> None:
    models.scorer.fault = EncoderBusyError("full", retry_after=2.5)
    for call in (
        rerank_stub.Search(search("7")),
        rerank_stub.Rerank(RerankRequest(model="scorer", query="7", texts=["1"])),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ENCODER_BUSY")
        assert refused.retry_seconds == 2.5


async def test_a_cross_encoder_that_cannot_be_loaded_refuses_the_search(
    rerank_stub: VectorSearchServiceAsyncStub, models: TwoModels, refusal: Any
) -> None:
    models.load_fault = ModelUnavailableError("broken")
    assert (await refusal(rerank_stub.Search(search("7")))).reason == "MODEL_UNAVAILABLE"
    models.loaded.clear()
    call = asyncio.ensure_future(refusal(rerank_stub.Search(search("7"))))
    await asyncio.sleep(0.1)
    models.loaded.set()
    assert (await call).reason == "MODEL_UNAVAILABLE"


async def test_the_client_reranks_any_number_of_texts(address: str, models: TwoModels) -> None:
    async with AsyncClient(address) as client:
        scored = await client.rerank("scorer", "7", [str(number) for number in range(12)])
        assert scored.scores.tolist() == [-abs(number - 7) for number in range(12)]
        assert scored.best_first[:4] == (7, 6, 8, 5)
        assert (scored.tokens.tolist(), scored.truncated.tolist()) == ([2] * 10 + [3] * 2, [False] * 12)
        assert (scored.model.name, scored.timings.rerank_ns) == ("scorer", 90)
        assert [len(texts) for _, texts in models.scorer.scored] == [5, 5, 2]
        with pytest.raises(vecgate.InvalidArgumentError, match="TEXT_TOO_LONG"):
            await client.rerank("scorer", "7", ["1", "7000000"], truncation="error")
        with pytest.raises(vecgate.InvalidArgumentError, match="query: not Unicode text"):
            await client.rerank("scorer", "\ud800", ["1"])
        with pytest.raises(vecgate.NotFoundError, match="model: no model is called"):
            await client.rerank("nobody's", "7", ["1"])


async def test_the_client_s_results_carry_both_scores_and_what_came_of_reranking(address: str) -> None:
    async with AsyncClient(address) as client:
        result = await client.search("numbers", "7", rerank=vecgate.Rerank("scorer", depth=4), top_k=4)
        assert [(match.id, match.rerank_score) for match in result] == [("b", -2), ("d", -2), ("a", -6), ("c", None)]
        assert result.matches[2].score > result.matches[0].score
        assert result.reranking == vecgate.Reranking(True, "", vecgate.ModelRef("scorer", "sha256:c"), 3, 0)
        assert (await client.search("numbers", "7")).reranking is None
        with pytest.raises(vecgate.InvalidArgumentError, match=r"options\.rerank\.query"):
            await client.search("numbers", ById("a"), rerank=vecgate.Rerank("scorer"))
        by_text = await client.search("numbers", ById("a"), rerank=vecgate.Rerank("scorer", query="9"), top_k=1)
        assert [match.id for match in by_text] == ["b"]


async def test_the_client_s_batches_are_reranked_query_by_query(address: str) -> None:
    queries: list[Any] = [
        "7",
        vecgate.BatchQuery([1.0, 0.0], rerank_query="1"),
        vecgate.BatchQuery("9", filter="exists(none)"),
    ]
    async with AsyncClient(address) as client:
        batch = await client.search_batch("numbers", queries, rerank=vecgate.Rerank("scorer"), top_k=1)
        assert [[match.id for match in result] for result in batch.results()] == [["e"], ["a"], []]
        first, *_ = await client.search_ids("numbers", queries, rerank=vecgate.Rerank("scorer"))
        assert first.ids == ("e", "b", "d", "a", "c")
        assert first.rerank_scores is not None
        assert np.array_equal(first.rerank_scores, [0, -2, -2, -6, np.nan], equal_nan=True)


async def test_the_client_says_what_was_not_reranked(address: str, models: TwoModels) -> None:
    models.scorer.held_query = "7"
    async with AsyncClient(address) as client:
        (ranked,) = await client.search_ids("numbers", ["7"], rerank=vecgate.Rerank("scorer"), timeout=2)
        assert (ranked.ids, ranked.rerank_scores) == (("a", "b", "c", "d", "e"), None)
        assert ranked.reranking is not None
        assert (ranked.reranking.applied, ranked.reranking.reason) == (False, "the call's deadline came first")


async def test_the_client_lists_what_models_are_for(address: str) -> None:
    async with AsyncClient(address) as client:
        assert [model.name for model in await client.list_models()] == ["encoder", "scorer"]


async def test_the_command_line_orders_texts(command_line: Any, tmp_path: Path) -> None:
    status, out, err = await command_line(
        "rerank", "7", "--model", "scorer", "--text", "1", "--text", "8", "-k", "1", "--json"
    )
    assert (status, json.loads(out), err) == (0, {"id": "2", "score": -1.0, "text": "8"}, "")
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"id": f"n{number}", "text": str(number)}) + "\n" for number in range(3)))
    status, out, err = await command_line("rerank", "2.000000", str(file), "--model", "scorer")
    assert [words[1] for line in out.splitlines() if len(words := line.split()) == 3] == ["id", "n2", "n1", "n0"]
    assert err == "3 of 3 texts were longer, with the query, than the model reads and were cut\n"
    status, out, err = await command_line("rerank", "2.000000", str(file), "--model", "scorer", "--truncation", "error")
    assert (status, "texts[0] is in line 1" in err) == (1, True)
    status, out, err = await command_line("rerank", "2", "--model", "scorer")
    assert (status, "give either FILE or --text" in err) == (2, True)


async def test_the_command_line_shows_both_scores(command_line: Any) -> None:
    status, out, err = await command_line(
        "search", "7", "-c", "numbers", "--rerank", "scorer", "--rerank-depth", "4", "-k", "4"
    )
    assert (status, err) == (0, "")
    heads, *rows = [line.split() for line in out.splitlines() if "─" not in line and line.strip()]
    assert heads[:3] == ["rerank", "score", "id"]
    assert [row[:1] + row[2:3] for row in rows[:3]] == [["-2.0000", "b"], ["-2.0000", "d"], ["-6.0000", "a"]]
    _, out, _ = await command_line("search", "7", "-c", "numbers", "--rerank", "scorer", "-k", "1", "--json")
    assert json.loads(out)["rerank_score"] == 0
    status, _, err = await command_line("search", "7", "-c", "numbers", "--rerank-depth", "4")
    assert (status, "need --rerank" in err) == (2, True)


async def test_the_command_line_says_plainly_what_was_not_reranked(command_line: Any, rerank_stub: Any) -> None:
    bare = [Record(id="1", vector=ALONG)]
    await rerank_stub.Upsert(UpsertRequest(collection="numbers", namespace="bare", records=bare))
    status, out, err = await command_line("search", "7", "-c", "numbers", "-n", "bare", "--rerank", "scorer")
    assert (status, err) == (0, "not reranked: none of the first matches has a text\n")
    assert "not reranked" in out


async def test_the_command_line_lists_models(command_line: Any) -> None:
    status, out, _ = await command_line("models")
    assert (status, "encoder*" in out, "scorer" in out) == (0, True, True)
    _, out, _ = await command_line("models", "--json")
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["encoder", "scorer"]
