"""Errors, retries, deadlines and the cutting into requests, against a scripted server on a real socket."""

# ruff: noqa: N802, ARG002  # the methods are named as their RPCs and take what gRPC gives them

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from vecgate import (
    AsyncClient,
    Client,
    DeadlineExceededError,
    NotFoundError,
    Record,
    ResourceExhaustedError,
    SearchResult,
    UnavailableError,
    VecgateError,
)
from vecgate.channel import MAX_ATTEMPTS
from vecgate.errors import ERROR_CLASSES, InvalidArgumentError
from vecgate.records import WriteMode
from vecgate.v1 import encode_pb2, outcome_pb2, read_pb2, search_pb2, server_info_pb2, write_pb2
from vecgate.v1.service_pb2_grpc import VectorSearchServiceServicer, add_VectorSearchServiceServicer_to_server

MAX_BATCH = 5
FAILURE_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def status(code: grpc.StatusCode, *, reason: str, retry_after: float | None = None) -> grpc.Status:
    details = [
        error_details_pb2.ErrorInfo(reason=reason, domain="vecgate"),
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="query.vector", description="bad")]
        ),
    ]
    if retry_after is not None:
        nanos = round(retry_after * 1e9)
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=nanos)))
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message="a sentence", details=packed))


class ScriptedService(VectorSearchServiceServicer):
    """Fails calls as told, a status each, then answers; keeps every request."""

    def __init__(self) -> None:
        self.failures: list[grpc.Status | grpc.StatusCode] = []
        self.requests: list[object] = []
        self.answering = True
        self.told_limits = 0

    def _receive(self, request: object, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        context.set_trailing_metadata((("x-request-id", "request-7"),))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, grpc.StatusCode):
                context.abort(failure, "no details")
            context.set_trailing_metadata((("x-request-id", "request-7"), *failure.trailing_metadata))
            context.abort(failure.code, failure.details)

    def GetServerInfo(
        self,
        request: server_info_pb2.GetServerInfoRequest,
        context: grpc.ServicerContext,
    ) -> server_info_pb2.GetServerInfoResponse:
        self.told_limits += 1
        limits = server_info_pb2.Limits(max_batch=MAX_BATCH, max_message_bytes=50_000)
        return server_info_pb2.GetServerInfoResponse(limits=limits)

    def Count(self, request: read_pb2.CountRequest, context: grpc.ServicerContext) -> read_pb2.CountResponse:
        self._receive(request, context)
        return read_pb2.CountResponse(count=42)

    def Delete(self, request: write_pb2.DeleteRequest, context: grpc.ServicerContext) -> write_pb2.DeleteResponse:
        self._receive(request, context)
        return write_pb2.DeleteResponse(deleted_count=1)

    def Upsert(self, request: write_pb2.UpsertRequest, context: grpc.ServicerContext) -> write_pb2.UpsertResponse:
        self._receive(request, context)
        outcomes = []
        for position, record in enumerate(request.records):
            outcome = write_pb2.RecordOutcome(id=record.id)
            if record.id.startswith("bad"):
                path = f"records[{position}].text"
                wrong = outcome_pb2.FieldViolation(field=path, description="wrong")
                outcome.error.MergeFrom(
                    outcome_pb2.ItemError(
                        code=grpc.StatusCode.NOT_FOUND.value[0],
                        reason="RECORD_NOT_FOUND",
                        message=f"{path}: wrong",
                        field_violations=[wrong],
                    )
                )
            outcomes.append(outcome)
        token = f"token-{len(self.requests)}"
        return write_pb2.UpsertResponse(outcomes=outcomes, searchable=True, consistency_token=token)

    def Encode(self, request: encode_pb2.EncodeRequest, context: grpc.ServicerContext) -> encode_pb2.EncodeResponse:
        self._receive(request, context)
        response = encode_pb2.EncodeResponse()
        response.model.name = "lengths"
        for text in request.texts:
            embedding = response.embeddings.add()
            embedding.vector.packed = np.array([len(text), 1], dtype="<f4").tobytes()
            embedding.encoded.tokens = len(text)
        return response

    def SearchBatch(
        self, request: search_pb2.SearchBatchRequest, context: grpc.ServicerContext
    ) -> search_pb2.SearchBatchResponse:
        self._receive(request, context)
        response = search_pb2.SearchBatchResponse()
        for position, asked in enumerate(request.queries):
            outcome = response.outcomes.add()
            if asked.query.text == "bad":
                outcome.error.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                outcome.error.message = f"queries[{position}].query: bad"
            else:
                outcome.result.matches.add(id=asked.query.text, score=1.0)
        return response


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()  # type: ignore[abstract]  # the other calls are not made


@pytest.fixture
def target(service: ScriptedService) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    add_VectorSearchServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


def test_every_status_code_has_an_error_of_its_own() -> None:
    assert set(ERROR_CLASSES) == set(FAILURE_CODES)
    assert len(set(ERROR_CLASSES.values())) == len(FAILURE_CODES)


@pytest.mark.parametrize("code", FAILURE_CODES, ids=lambda code: code.name)
def test_a_failed_call_raises_the_error_of_its_code_with_all_details(
    client: Client, service: ScriptedService, code: grpc.StatusCode
) -> None:
    service.failures = [status(code, reason="SOME_REASON")] * MAX_ATTEMPTS
    with pytest.raises(VecgateError) as raised:
        client.count("docs")
    assert type(raised.value) is ERROR_CLASSES[code]
    assert raised.value.code is code
    assert (raised.value.message, raised.value.reason) == ("a sentence", "SOME_REASON")
    assert [(wrong.field, wrong.description) for wrong in raised.value.violations] == [("query.vector", "bad")]
    assert raised.value.request_id == "request-7"


async def test_the_asynchronous_client_raises_the_same_errors(target: str, service: ScriptedService) -> None:
    service.failures = [status(grpc.StatusCode.NOT_FOUND, reason="COLLECTION_NOT_FOUND")]
    async with AsyncClient(target) as client:
        with pytest.raises(NotFoundError, match=r"a sentence \(COLLECTION_NOT_FOUND\)") as raised:
            await client.count("docs")
    assert raised.value.request_id == "request-7"


def test_a_failure_without_details_names_the_target_and_takes_its_code_as_reason(
    client: Client, service: ScriptedService, target: str
) -> None:
    service.failures = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with pytest.raises(ResourceExhaustedError, match=target) as raised:
        client.count("docs")
    assert (raised.value.reason, raised.value.violations) == ("RESOURCE_EXHAUSTED", ())


def test_a_server_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    target = f"127.0.0.1:{unused_tcp_port}"
    with Client(target) as client, pytest.raises(UnavailableError, match=target):
        client.count("docs")


def test_a_read_is_sent_again_when_the_server_was_unavailable(client: Client, service: ScriptedService) -> None:
    service.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]
    assert client.count("docs") == 42
    assert len(service.requests) == 3


@pytest.mark.parametrize("mode", ["upsert", "update"])
def test_an_upsert_that_can_be_repeated_is_sent_again(
    client: Client, service: ScriptedService, mode: WriteMode
) -> None:
    service.failures = [grpc.StatusCode.UNAVAILABLE]
    assert client.upsert("docs", [Record("a", "text")], mode=mode).stored == 1
    assert len(service.requests) == 2
    assert service.requests[0] == service.requests[1]


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda client: client.upsert("docs", [Record("a", "text")], mode="insert"), id="insert"),
        pytest.param(lambda client: client.delete("docs", ids=["a"]), id="delete"),
    ],
)
def test_a_write_that_cannot_be_repeated_is_sent_once(
    client: Client, service: ScriptedService, write: Callable[[Client], object]
) -> None:
    service.failures = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(UnavailableError):
        write(client)
    assert len(service.requests) == 1


def test_a_call_refused_with_a_hint_when_to_come_back_comes_back(client: Client, service: ScriptedService) -> None:
    busy = status(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="ENCODER_BUSY", retry_after=0.01)
    service.failures = [busy] * 5
    assert client.delete("docs", ids=["a"]).count == 1
    assert len(service.requests) == 6


def test_a_hint_beyond_the_deadline_is_not_waited_for(client: Client, service: ScriptedService) -> None:
    service.failures = [status(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="ENCODER_BUSY", retry_after=0.9)]
    with pytest.raises(ResourceExhaustedError) as raised:
        client.count("docs", timeout=0.5)
    assert raised.value.retry_after == pytest.approx(0.9)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_is_no_time_is_refused(client: Client, service: ScriptedService, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        client.count("docs", timeout=seconds)
    assert service.requests == []


@pytest.mark.parametrize("target", ["", "http://localhost:50051"])
def test_a_target_that_is_no_address_is_refused_at_once(target: str) -> None:
    with pytest.raises(InvalidArgumentError, match="target: expected host:port"):
        Client(target)


@pytest.mark.parametrize("target", ["localhost:99999", "dns:///vecgate:65536", "[::1]:70000"])
def test_a_port_that_there_cannot_be_is_refused_at_once(target: str) -> None:
    with pytest.raises(InvalidArgumentError, match="target: expected a port of at most 65535"):
        Client(target)


@pytest.mark.parametrize("target", ["localhost:65535", "unix:/run/vecgate:99999", "[::1]:50051", "vecgate"])
def test_any_other_target_is_taken(target: str) -> None:
    with Client(target) as client:
        assert client.target == target


def test_limits_are_asked_for_again_when_they_are_found_to_have_changed(
    client: Client, service: ScriptedService
) -> None:
    client.upsert("docs", [{"id": "a", "text": "x"}])
    client.upsert("docs", [{"id": "a", "text": "x"}])
    assert service.told_limits == 1
    service.failures = [status(grpc.StatusCode.INVALID_ARGUMENT, reason="LIMIT_EXCEEDED")]
    with pytest.raises(InvalidArgumentError):
        client.upsert("docs", [{"id": "a", "text": "x"}])
    client.upsert("docs", [{"id": "a", "text": "x"}])
    assert service.told_limits == 2


def test_a_closed_client_says_so_and_can_be_closed_again(target: str, service: ScriptedService) -> None:
    client = Client(target)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.count("docs")
    assert service.requests == []


async def test_a_closed_asynchronous_client_says_so_too(target: str) -> None:
    client = AsyncClient(target)
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        await client.count("docs")


def test_records_of_any_number_go_out_in_requests_the_server_takes(client: Client, service: ScriptedService) -> None:
    result = client.upsert("docs", ({"id": str(number), "text": "x"} for number in range(12)), namespace="n")
    sent = [request for request in service.requests if isinstance(request, write_pb2.UpsertRequest)]
    assert [len(request.records) for request in sent] == [5, 5, 2]
    assert {(request.collection, request.namespace) for request in sent} == {("docs", "n")}
    assert [record.id for request in sent for record in request.records] == [str(number) for number in range(12)]
    assert (result.stored, result.failures, result.searchable, result.consistency_token) == (12, (), True, "token-3")


def test_large_records_are_cut_into_requests_by_their_bytes(client: Client, service: ScriptedService) -> None:
    client.upsert("docs", [Record(str(number), "x" * 20_000) for number in range(4)])
    sent = [request for request in service.requests if isinstance(request, write_pb2.UpsertRequest)]
    assert [len(request.records) for request in sent] == [2, 2]
    assert all(request.ByteSize() < 50_000 for request in sent)


def test_a_record_that_fails_is_named_by_its_place_among_all(client: Client, service: ScriptedService) -> None:
    unsendable: dict[str, object] = {"id": "unsendable", "text": "x", "metadata": {"at": {}}}
    good: list[dict[str, object]] = [{"id": str(number), "text": "x"} for number in range(6)]
    records: list[dict[str, object]] = [*good, {"id": "bad-6", "text": "x"}, unsendable]
    result = client.upsert("docs", records)
    assert result.stored == 6
    assert [(failure.index, failure.id, failure.error.reason) for failure in result.failures] == [
        (6, "bad-6", "RECORD_NOT_FOUND"),
        (7, "unsendable", "METADATA_VALUE"),
    ]
    assert [failure.error.violations[0].field for failure in result.failures] == [
        "records[6].text",
        'records[7].metadata["at"]',
    ]
    assert str(result.failures[0].error).startswith("records[6].text: wrong")
    with pytest.raises(NotFoundError):
        result.raise_for_failures()


def test_a_record_larger_than_a_message_fails_alone(client: Client) -> None:
    result = client.upsert("docs", [Record("big", "x" * 60_000), Record("small", "x")])
    assert result.stored == 1
    assert [(failure.id, failure.error.reason) for failure in result.failures] == [("big", "LIMIT_EXCEEDED")]


def test_an_upsert_that_breaks_off_tells_what_was_stored(client: Client, service: ScriptedService) -> None:
    def records() -> Iterator[Record]:
        for number in range(10):
            if number == 6:
                service.failures = [status(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="STORAGE_FULL")]
            yield Record(str(number), "x")

    with pytest.raises(ResourceExhaustedError) as raised:
        client.upsert("docs", records())
    assert raised.value.acknowledged is not None
    assert raised.value.acknowledged.stored == 5


def test_an_item_that_is_no_record_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError, match=r"records\[0\]: expected a .* or a mapping, got str"):
        client.upsert("docs", ["text"])  # type: ignore[list-item]  # the wrong type on purpose


def test_texts_of_any_number_come_back_as_one_matrix(client: Client, service: ScriptedService) -> None:
    texts = ["x" * number for number in range(12)]
    embeddings = client.encode(texts)
    assert len(service.requests) == 3
    assert embeddings.vectors.dtype == np.float32
    assert embeddings.vectors.tolist() == [[number, 1] for number in range(12)]
    assert embeddings.tokens.tolist() == list(range(12))


@pytest.mark.parametrize("texts", ["one string", [], [7], ["\ud800"]])
def test_what_is_no_list_of_texts_is_refused_before_anything_is_sent(
    client: Client, service: ScriptedService, texts: list[str]
) -> None:
    with pytest.raises(ValueError, match="texts"):
        client.encode(texts)
    assert service.requests == []


def test_a_query_that_fails_leaves_the_others_their_answers(client: Client) -> None:
    batch = client.search_batch("docs", ["a", "b", "c", "d", "e", "f", "bad", "g"])
    answers = [outcome.matches[0].id if isinstance(outcome, SearchResult) else None for outcome in batch.outcomes]
    assert answers == ["a", "b", "c", "d", "e", "f", None, "g"]
    with pytest.raises(ValueError, match=r"queries\[6\]\.query: bad"):
        batch.results()


def test_an_unknown_search_option_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError, match="topk"):
        client.search("docs", "x", topk=3)  # type: ignore[call-arg]  # the misspelling is the test


def test_a_choice_that_there_is_not_lists_those_there_are(client: Client) -> None:
    with pytest.raises(ValueError, match="'replace' is not one of 'upsert', 'insert', 'update'"):
        client.upsert("docs", [], mode="replace")  # type: ignore[arg-type]  # the wrong word on purpose


async def test_waiting_for_a_server_that_never_comes_ends_with_the_reason(unused_tcp_port: int) -> None:
    async with AsyncClient(f"127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(DeadlineExceededError, match="was not ready within"):
            await client.wait_ready(timeout=0.3)
