"""Calls beyond the limits, faults of the server itself, and calls in flight while it stops; the server runs in this process."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from vecgate.v1.collection_pb2 import CreateCollectionRequest, ListCollectionsRequest, Unbound
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_backends.memory import MemoryBackend
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.telemetry import JsonFormatter

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub


SETTINGS: dict[str, Any] = {
    "server": {"port": 0},
    "backends": {"memory": {"kind": "memory"}},
    "models": {"preload": []},
}


@asynccontextmanager
async def serving(**limits: int) -> AsyncIterator[tuple[Server, grpc.aio.Channel, VectorSearchServiceAsyncStub]]:
    async with (
        Server(Settings.model_validate(SETTINGS | {"limits": limits})) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, channel, VectorSearchServiceStub(channel)


class HeldBackend:
    """Holds every listing of collections until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        monkeypatch.setattr(MemoryBackend, "list_collections", self.list_collections)

    async def list_collections(self) -> list[Any]:
        self.entered.set()
        await self.released.wait()
        return []


async def test_a_call_over_the_limit_is_refused_at_once_and_health_still_answers(
    monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    async with serving(max_concurrent_calls=1) as (_, channel, stub):
        held = HeldBackend(monkeypatch)
        first = asyncio.ensure_future(stub.ListCollections(ListCollectionsRequest()))
        await held.entered.wait()
        refused = await refusal(stub.Count(CountRequest(collection="a")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        assert refused.retry_seconds == 1
        health: Any = HealthStub(channel)
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
        held.released.set()
        await first
        assert (await refusal(stub.Count(CountRequest(collection="a")))).reason == "COLLECTION_NOT_FOUND"


async def test_a_caller_that_leaves_frees_its_place(monkeypatch: pytest.MonkeyPatch, refusal: Any) -> None:
    async with serving(max_concurrent_calls=1) as (_, _, stub):
        held = HeldBackend(monkeypatch)
        first = stub.ListCollections(ListCollectionsRequest())
        await held.entered.wait()
        first.cancel()
        for _ in range(1_000):
            reason = (await refusal(stub.Count(CountRequest(collection="a")))).reason
            if reason != "TOO_MANY_CALLS":
                break
        assert reason == "COLLECTION_NOT_FOUND"


async def test_an_answer_over_the_message_limit_is_refused_with_its_reason(refusal: Any) -> None:
    async with serving(max_message_bytes=65_536) as (_, _, stub):
        await stub.CreateCollection(CreateCollectionRequest(name="a", unbound=Unbound(dimension=1_000)))
        vector = Vector(packed=np.ones(1_000, "<f4").tobytes())
        for half in ("x", "y"):
            records = [Record(id=f"{half}{number}", vector=vector) for number in range(12)]
            await stub.Upsert(UpsertRequest(collection="a", records=records))
        request = GetRequest(collection="a", selector=Selector(all=True), fields=ReturnFields(vector=True))
        refused = await refusal(stub.Get(request))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE")
        request.limit = 12
        assert len((await stub.Get(request)).records) == 12


async def test_an_unexpected_fault_is_logged_and_answered_by_a_fixed_sentence(
    monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    async def broken(_: MemoryBackend) -> list[Any]:
        raise RuntimeError("a secret of the backend")

    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    with attached(handler):
        async with serving() as (_, _, stub):
            monkeypatch.setattr(MemoryBackend, "list_collections", broken)
            refused = await refusal(stub.ListCollections(ListCollectionsRequest()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refused.message == (f"internal error; the server's log has the cause under request id {refused.request_id}")
    (logged,) = [line for line in map(json.loads, written.getvalue().splitlines()) if line["level"] == "error"]
    assert logged["request_id"] == refused.request_id
    assert "RuntimeError: a secret of the backend" in logged["exception"]


@contextmanager
def attached(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("vecgate_server")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def test_a_stop_waits_for_calls_in_flight_and_takes_no_new_ones(
    monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    async with serving() as (server, _, stub):
        held = HeldBackend(monkeypatch)
        call = asyncio.ensure_future(stub.ListCollections(ListCollectionsRequest()))
        await held.entered.wait()
        stopping = asyncio.create_task(server.stop(grace=60))
        refused = await refusal(stub.Count(CountRequest(collection="a")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert not stopping.done()
        held.released.set()
        assert len((await call).collections) == 0
        await stopping


async def test_a_stop_gives_up_on_calls_when_the_grace_is_over(monkeypatch: pytest.MonkeyPatch, refusal: Any) -> None:
    async with serving() as (server, _, stub):
        held = HeldBackend(monkeypatch)
        call = asyncio.ensure_future(stub.ListCollections(ListCollectionsRequest()))
        await held.entered.wait()
        await server.stop(grace=0)
        assert (await refusal(call)).code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_two_servers_cannot_share_a_port() -> None:
    async with serving() as (server, _, _):
        port = int(server.address.rpartition(":")[2])
        settings = {"server": {"port": port}, "backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
        with pytest.raises(Exception, match="cannot listen on"):
            await Server(Settings.model_validate(settings)).start()


async def test_a_part_that_cannot_be_closed_leaves_no_other_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise OSError("no space left")

    server = Server(Settings.model_validate(SETTINGS | {"server": {"port": 0, "health_port": 0}}))
    await server.start()
    assert server.health_port
    monkeypatch.setattr(server.protection, "close", broken)
    with pytest.raises(OSError, match="no space left"):
        await server.stop()
    host, _, port = server.health_port.address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
