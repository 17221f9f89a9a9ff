"""search_many(): any number of queries, in order, against a scripted server on a real socket."""

# ruff: noqa: N802, ARG002  # the methods are named as their RPCs and take what gRPC gives them

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import grpc
import numpy as np
import pytest

from vecgate import (
    AsyncClient,
    BatchQuery,
    Client,
    InvalidArgumentError,
    NotFoundError,
    SearchResult,
    UnavailableError,
    VecgateError,
    channel,
    field,
)
from vecgate.query_batches import REQUESTS_UNDER_WAY
from vecgate.v1 import search_pb2, server_info_pb2
from vecgate.v1.service_pb2_grpc import VectorSearchServiceServicer, add_VectorSearchServiceServicer_to_server

MAX_BATCH = 5


class EchoingService(VectorSearchServiceServicer):
    """Finds a record named as the query; fails calls as told, and holds them back until `gate` is open."""

    def __init__(self) -> None:
        self.requests: list[search_pb2.SearchBatchRequest] = []
        self.failures: list[grpc.StatusCode] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Semaphore(0)
        self.cancelled = threading.Event()

    def GetServerInfo(
        self, request: server_info_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> server_info_pb2.GetServerInfoResponse:
        limits = server_info_pb2.Limits(max_batch=MAX_BATCH, max_message_bytes=50_000)
        return server_info_pb2.GetServerInfoResponse(limits=limits)

    def SearchBatch(
        self, request: search_pb2.SearchBatchRequest, context: grpc.ServicerContext
    ) -> search_pb2.SearchBatchResponse:
        self.requests.append(request)
        if not self.gate.is_set():
            context.add_callback(self.cancelled.set)
            self.waiting.release()
            self.gate.wait(30)
        if self.failures:
            context.abort(self.failures.pop(0), "no details")
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
def service() -> EchoingService:
    return EchoingService()  # type: ignore[abstract]  # the other calls are not made


@pytest.fixture
def target(service: EchoingService) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(10))
    add_VectorSearchServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    service.gate.set()
    server.stop(grace=None).wait()


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client


def told(outcome: SearchResult | VecgateError) -> str:
    return outcome.matches[0].id if isinstance(outcome, SearchResult) else f"{outcome.reason} {outcome.message}"


def test_results_come_in_the_order_of_the_queries(client: Client, service: EchoingService) -> None:
    queries = [f"query {number}" for number in range(53)]
    assert [told(outcome) for outcome in client.search_many("docs", queries, top_k=3, namespace="n")] == queries
    assert sorted(len(request.queries) for request in service.requests) == [3] + [5] * 10
    assert {(request.collection, request.namespace, request.options.top_k) for request in service.requests} == {
        ("docs", "n", 3)
    }


def test_queries_are_read_no_further_than_the_requests_under_way(client: Client, service: EchoingService) -> None:
    read = []

    def queries() -> Iterator[str]:
        for number in count():
            read.append(number)
            yield str(number)

    results = client.search_many("docs", queries())
    assert read == []
    assert [told(outcome) for outcome in islice(results, 12)] == [str(number) for number in range(12)]
    assert len(read) <= 12 + MAX_BATCH * (REQUESTS_UNDER_WAY + 1)


def test_several_requests_are_under_way_at_once_and_an_end_cancels_them(
    client: Client, service: EchoingService
) -> None:
    client.server_info()
    service.gate.clear()
    results = client.search_many("docs", map(str, count()))
    reader = threading.Thread(target=lambda: next(results))
    reader.start()
    for _ in range(REQUESTS_UNDER_WAY):
        assert service.waiting.acquire(timeout=30)
    service.gate.set()
    reader.join()
    service.gate.clear()
    results.close()  # type: ignore[attr-defined]  # it is a generator
    service.gate.set()
    assert service.cancelled.wait(30)


def test_a_query_that_fails_ends_no_other(client: Client) -> None:
    ragged = [[1.0], [2.0, 3.0]]
    queries: list[object] = ["a", "bad", "b", ragged, {}, "c", "x" * 60_000, "bad", BatchQuery("d", field("y") == 1)]
    outcomes = list(client.search_many("docs", queries))  # type: ignore[arg-type]  # wrong ones among them, on purpose
    words = [told(outcome) for outcome in outcomes]
    assert [words[place] for place in (0, 2, 5, 8)] == ["a", "b", "c", "d"]
    assert words[1] == "INVALID_ARGUMENT queries[1].query: bad"
    assert words[3].startswith("INVALID_ARGUMENT queries[3].query.vector: not a vector")
    assert words[4].startswith("INVALID_ARGUMENT queries[4].query.vector: expected real numbers")
    assert words[6].startswith("LIMIT_EXCEEDED queries[6]: 60,0")
    assert words[7] == "INVALID_ARGUMENT queries[7].query: bad"


def test_queries_that_can_all_not_be_sent_need_no_server(client: Client, service: EchoingService) -> None:
    outcomes = list(client.search_many("docs", [{}] * 7))  # type: ignore[list-item]  # wrong on purpose
    assert [isinstance(outcome, InvalidArgumentError) for outcome in outcomes] == [True] * 7
    assert service.requests == []


def test_a_request_that_fails_as_a_whole_ends_it_and_one_that_met_no_server_is_sent_again(
    client: Client, service: EchoingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "INITIAL_BACKOFF_S", 0.001)
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 3
    assert [told(outcome) for outcome in client.search_many("docs", map(str, range(12)))] == list(map(str, range(12)))
    service.failures = [grpc.StatusCode.NOT_FOUND]
    with pytest.raises(NotFoundError):
        list(client.search_many("docs", ["a"]))
    service.failures = [grpc.StatusCode.UNAVAILABLE] * 100
    with pytest.raises(UnavailableError):
        list(client.search_many("docs", ["a"]))


@pytest.mark.parametrize("queries", ["one", BatchQuery("one"), 7, None])
def test_one_query_is_refused_before_anything_is_read(client: Client, queries: object) -> None:
    with pytest.raises(InvalidArgumentError, match="queries: expected an iterable of queries"):
        client.search_many("docs", queries)  # type: ignore[arg-type]  # wrong on purpose


def test_a_wrong_option_is_refused_at_once(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match=r"options\.top_k"):
        client.search_many("docs", [], top_k=-1)
    with pytest.raises(TypeError, match="topk"):
        client.search_many("docs", [], topk=3)  # type: ignore[call-arg]  # the misspelling is the test
    with pytest.raises(InvalidArgumentError, match="timeout"):
        client.search_many("docs", [], timeout=0)


async def test_the_asynchronous_client_takes_either_kind_of_iterable(target: str, service: EchoingService) -> None:
    async def endless() -> AsyncIterator[str]:
        for number in count():
            yield str(number)

    async with AsyncClient(target) as client:
        assert [told(outcome) async for outcome in client.search_many("docs", ["a", "bad", "b"])][::2] == ["a", "b"]
        rows = np.eye(3)
        assert len([outcome async for outcome in client.search_many("docs", rows)]) == 3
        found = []
        async for outcome in client.search_many("docs", endless()):
            found.append(told(outcome))
            if len(found) == 12:
                break
        assert found == list(map(str, range(12)))
