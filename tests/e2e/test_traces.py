"""Calls as traces: a real server, the instrumentation of gRPC, and a collector that takes OTLP."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from faults.held_worker import HeldWorker, held_models, until
from monitoring.collector import Collector, attributes, collecting
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from streaming.call import StreamCall

from vecgate import AsyncClient, Client
from vecgate.v1.collection_pb2 import CreateCollectionRequest
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_backends.errors import ConfigurationError
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.telemetry import JsonFormatter

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

METHOD = "/vecgate.v1.VectorSearchService/"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SEARCH = SearchRequest(collection="notes", query=Query(text="query"))


def parent(*, sampled: bool) -> tuple[tuple[str, str], ...]:
    return (("traceparent", f"00-{TRACE}-{PARENT}-{int(sampled):02}"),)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@asynccontextmanager
async def serving(
    endpoint: str, worker: HeldWorker | None = None, **traces: Any
) -> AsyncIterator[tuple[Server, VectorSearchServiceAsyncStub]]:
    """A server with one collection of texts; its spans are exported when the block ends."""
    settings = {
        "server": {"port": 0},
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
        "telemetry": {"traces": {"endpoint": endpoint, "sample_ratio": 1.0} | traces},
    }
    server = Server(Settings.model_validate(settings), models=held_models(worker or HeldWorker()))
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        await stub.CreateCollection(CreateCollectionRequest(name="notes"), metadata=parent(sampled=False))
        yield server, stub


async def test_a_call_is_a_span_below_its_caller_s_with_its_parts_in_it(collector: Collector) -> None:
    async with serving(collector.address, service_name="search-eu") as (_, stub):
        upsert = UpsertRequest(collection="notes", records=[Record(id="a", text="abc")])
        await stub.Upsert(upsert, metadata=parent(sampled=False))
        await stub.Search(SEARCH, metadata=(*parent(sampled=True), ("x-request-id", "order-66")))
    (call,) = collector.calls()
    assert (call.name, call.trace_id.hex(), call.parent_span_id.hex()) == (f"{METHOD}Search", TRACE, PARENT)
    told = attributes(call)
    assert told["rpc.system"] == "grpc"
    assert (told["rpc.method"], told["rpc.grpc.status_code"]) == ("Search", 0)
    assert told["vecgate.request_id"] == "order-66"
    below = collector.below(call)
    assert sorted(span.name for span in below) == ["backend", "backend", "encode", "queue", "tokenize"]
    assert [attributes(span)["vecgate.operation"] for span in below if span.name == "backend"] == [
        "collection",
        "search",
    ]
    assert all(
        call.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= call.end_time_unix_nano
        for span in below
    )
    assert collector.resource["service.name"] == "search-eu"


async def test_a_refused_call_tells_its_status_and_reason(collector: Collector) -> None:
    async with serving(collector.address) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Count(CountRequest(collection="nothing"))
    (call,) = collector.calls()
    told = attributes(call)
    assert told["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert told["vecgate.reason"] == "COLLECTION_NOT_FOUND"


async def test_a_cancelled_call_tells_that_it_was(collector: Collector) -> None:
    worker = HeldWorker()
    async with serving(collector.address, worker) as (server, stub):
        worker.hold()
        call = stub.Search(SEARCH)
        await worker.has_entered()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not server._admission.calls)
        worker.release()
    (call_span,) = collector.calls()
    assert attributes(call_span)["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]


async def test_a_stream_is_one_span_with_what_its_batches_did(collector: Collector) -> None:
    async with serving(collector.address) as (_, stub):
        stream = StreamCall(stub)
        await stream.open("notes")
        for number in range(3):
            await stream.put([Record(id=f"r{number}", text="a" * (number + 1))])
            await stream.result()
        await stream.close()
        await stream.rest()
    (call,) = collector.calls()
    assert call.name == f"{METHOD}UpsertStream"
    operations = [attributes(span)["vecgate.operation"] for span in collector.below(call) if span.name == "backend"]
    assert operations.count("upsert") == 3


@pytest.mark.parametrize(
    ("ratio", "sampled", "spans"), [(0.0, None, 0), (1.0, None, 1), (0.0, True, 1), (1.0, False, 0)]
)
async def test_the_caller_decides_whether_a_call_is_traced_and_else_the_ratio(
    collector: Collector, ratio: float, sampled: bool | None, spans: int
) -> None:
    async with serving(collector.address, sample_ratio=ratio) as (_, stub):
        metadata = () if sampled is None else parent(sampled=sampled)
        await stub.Count(CountRequest(collection="notes"), metadata=metadata)
    assert len(collector.calls()) == spans


async def test_of_calls_whose_caller_says_nothing_the_ratio_is_traced(collector: Collector) -> None:
    async with serving(collector.address, sample_ratio=0.5) as (_, stub):
        for _ in range(100):
            await stub.Count(CountRequest(collection="notes"), metadata=(("baggage", "tenant=a"),))
    assert 20 < len(collector.calls()) < 80


async def test_log_records_of_a_traced_call_name_its_trace(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level(logging.DEBUG, "vecgate_server"):
        async with serving(collector.address) as (_, stub):
            await stub.Count(CountRequest(collection="notes"), metadata=parent(sampled=True))
            await stub.Count(CountRequest(collection="notes"), metadata=parent(sampled=False))
    told = [json.loads(line) for line in caplog.text.splitlines() if '"Count OK' in line]
    assert [record.get("trace_id") for record in told] == [TRACE, None]
    assert told[0]["request_id"] != told[1]["request_id"]


async def test_headers_come_from_settings_and_from_a_file(collector: Collector, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("authorization: Bearer from-the-file\n\n")
    traces: dict[str, Any] = {"headers": {"x-tenant": "from-the-settings"}, "headers_file": headers}
    async with serving(collector.address, **traces) as (_, stub):
        await stub.Count(CountRequest(collection="notes"))
    assert collector.metadata["authorization"] == "Bearer from-the-file"
    assert collector.metadata["x-tenant"] == "from-the-settings"


def test_a_file_of_headers_that_is_none_is_refused_without_its_content(tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text("authorization Bearer secret\n")
    with pytest.raises(ConfigurationError, match=r"line 1 of .*headers is not of the form name: value") as refused:
        Server(
            Settings.model_validate(
                {"telemetry": {"traces": {"endpoint": "http://127.0.0.1:1", "headers_file": headers}}}
            )
        )
    assert "secret" not in str(refused.value)


async def test_a_collector_that_is_away_holds_up_neither_calls_nor_the_end() -> None:
    async with serving("http://127.0.0.1:9") as (server, stub):
        for _ in range(20):
            await stub.Count(CountRequest(collection="notes"))
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("blocking", [True, False], ids=["Client", "AsyncClient"])
async def test_an_instrumented_application_and_the_server_are_one_trace(collector: Collector, blocking: bool) -> None:
    provider = TracerProvider()
    kind: Any = GrpcInstrumentorClient if blocking else GrpcAioInstrumentorClient
    instrumentor = kind()
    async with serving(collector.address, sample_ratio=0.0) as (server, _):
        instrumentor.instrument(tracer_provider=provider)
        try:
            with provider.get_tracer("application").start_as_current_span("work") as work:
                if blocking:
                    await asyncio.to_thread(count, server.address)
                else:
                    async with AsyncClient(server.address) as client:
                        await client.count("notes")
        finally:
            instrumentor.uninstrument()
    counted = [call for call in collector.calls() if call.name == f"{METHOD}Count"]
    assert [call.trace_id.hex() for call in counted] == [trace.format_trace_id(work.get_span_context().trace_id)]


def count(address: str) -> None:
    with Client(address) as client:
        client.count("notes")


def test_without_traces_nothing_of_opentelemetry_is_imported() -> None:
    seen = "import sys, vecgate_server.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_traces_without_their_packages_are_refused_in_one_sentence(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from vecgate_server.app import Server; from vecgate_server.config import Settings\n"
        "try: Server(Settings.model_validate({'telemetry': {'traces': {'endpoint': 'http://h:1'}}}))\n"
        "except Exception as fault: print(type(fault).__name__, fault)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.startswith("ConfigurationError telemetry.traces needs opentelemetry")
    assert "pip install 'vecgate[telemetry]'" in done.stdout
