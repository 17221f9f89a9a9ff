"""Callers that ask for much and take nothing: what they leave in the server's memory is bounded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
import pytest
from benchmarks.server import MIB
from hostile.http2_connection import Http2Connection, grpc_message
from hostile.process_watch import held, watching_memory

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import CountRequest, GetRequest
from vecgate.v1.record_pb2 import Record, ReturnFields
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

INITIAL_WINDOW_SIZE = 4
RECORDS = 100
COUNT = CountRequest(collection="a")
EVERYTHING = GetRequest(collection="a", selector=Selector(all=True), fields=ReturnFields(vector=True))
"""About 400,000 bytes."""
LARGE = GetRequest(collection="a", selector=Selector(all=True), fields=ReturnFields(vector=True), limit=1_000)
"""About 4,000,000 bytes of 1,000 records."""
LIMIT = 2_000_000


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, VectorSearchServiceAsyncStub]]:
    settings = {
        "server": {"port": 0, "shutdown_grace_seconds": 0},
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
        "limits": {"max_unread_answer_bytes": LIMIT},
    }
    async with (
        Server(Settings.model_validate(settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = VectorSearchServiceStub(channel)
        await stub.CreateCollection(CreateCollectionRequest(name="a", unbound=Unbound(dimension=1_000)))
        vector = Vector(packed=np.ones(1_000, "<f4").tobytes())
        await stub.Upsert(
            UpsertRequest(collection="a", records=[Record(id=str(n), vector=vector) for n in range(RECORDS)])
        )
        yield server, stub


def ask_and_take_nothing(address: str, request: GetRequest = EVERYTHING) -> Http2Connection:
    connection = Http2Connection(address, settings={INITIAL_WINDOW_SIZE: 0})
    connection.call("Get", grpc_message(request.SerializeToString()))
    return connection


@asynccontextmanager
async def stalled(server: Server, connections: int) -> AsyncIterator[list[Http2Connection]]:
    """Keep connections whose callers take nothing, each with an answer that is there."""
    with ExitStack() as stack:
        opened = [await asyncio.to_thread(ask_and_take_nothing, server.address) for _ in range(connections)]
        for connection in opened:
            stack.enter_context(connection)
        await asyncio.sleep(0.5)
        yield opened


async def test_large_answers_are_refused_while_others_are_not_taken_and_small_ones_are_not(refusal: Any) -> None:
    async with serving() as (server, stub):
        async with stalled(server, 2):
            refused = await refusal(stub.Get(EVERYTHING))
            assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ANSWERS_UNREAD")
            assert refused.retry_seconds == 1
            assert "limits.max_unread_answer_bytes is 2000000" in refused.message
            assert (await stub.Count(COUNT)).count == RECORDS
        await until_taken(stub)


def test_answers_that_nobody_takes_hold_no_more_memory_than_the_limit_says(start_server: Any) -> None:
    limit = 48 * MIB
    server = start_server(
        {
            "backends": {"memory": {"kind": "memory"}},
            "models": {"preload": []},
            "limits": {"max_unread_answer_bytes": limit},
        }
    )
    with grpc.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        stub.CreateCollection(CreateCollectionRequest(name="a", unbound=Unbound(dimension=1_000)))
        vector = Vector(packed=np.ones(1_000, "<f4").tobytes())
        for start in range(0, 1_000, 200):
            records = [Record(id=str(number), vector=vector) for number in range(start, start + 200)]
            stub.Upsert(UpsertRequest(collection="a", records=records))
        answer = max(stub.Get(LARGE).ByteSize() for _ in range(10))
    before = held(server.process.pid).mebibytes
    with ExitStack() as stack, watching_memory(server.process.pid) as memory:
        for _ in range(2 * limit // answer):
            stack.enter_context(ask_and_take_nothing(server.address, LARGE))
            # One after the other: what several take while they are made is another matter.
            time.sleep(0.15)
    # Half as much again: what the last ones took while they were made, and what the allocator keeps.
    assert 0.5 * limit < MIB * (max(memory) - before) < 1.5 * limit


async def until_taken(stub: VectorSearchServiceAsyncStub) -> None:
    async with asyncio.timeout(30):
        while True:
            call = stub.Get(EVERYTHING)
            code = await call.code()
            if code is grpc.StatusCode.OK:
                return
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            await asyncio.sleep(0.05)


async def test_a_connection_that_takes_nothing_is_refused_everything_and_others_nothing() -> None:
    async with serving() as (server, stub), stalled(server, 1) as (connection,):
        stream = connection.call("Count", grpc_message(COUNT.SerializeToString()))
        assert await asyncio.to_thread(connection.status, stream) == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert len((await stub.Get(EVERYTHING)).records) == RECORDS


async def test_who_takes_every_answer_is_never_refused() -> None:
    async with serving() as (_, stub):
        for _ in range(20):
            assert len((await stub.Get(EVERYTHING)).records) == RECORDS


async def test_a_caller_that_goes_before_its_answer_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (server, stub):
        async with stalled(server, 1) as (connection,):
            connection.close(abruptly=True)
        await until_taken(stub)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
