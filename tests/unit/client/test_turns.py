"""How many calls a client makes at once, against a server that counts those it has in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from vecgate import AsyncClient, Client, ServerInfo
from vecgate.turns import CALLS_AT_ONCE
from vecgate.v1.server_info_pb2 import GetServerInfoResponse

CALLS = 2 * CALLS_AT_ONCE
LONG = 30.0
CLOSED = "this client is closed"


class CountingServer:
    """Answers GetServerInfo after a moment.

    Attributes:
        address: where it listens.
        in_hand, most: calls at this moment, and the most there ever were.
    """

    def __init__(self, seconds: float) -> None:
        self.address = ""
        self.in_hand = self.most = 0
        self._seconds = seconds

    async def answer(self, _: bytes, __: Any) -> bytes:
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self.in_hand -= 1
        return GetServerInfoResponse().SerializeToString()


@asynccontextmanager
async def counting(seconds: float) -> AsyncIterator[CountingServer]:
    counted = CountingServer(seconds)
    handlers: dict[str, Any] = {"GetServerInfo": grpc.unary_unary_rpc_method_handler(counted.answer)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("vecgate.v1.VectorSearchService", handlers),))
    counted.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield counted
    finally:
        await server.stop(0)


async def is_full(server: CountingServer) -> None:
    async with asyncio.timeout(LONG):
        while server.in_hand < CALLS_AT_ONCE:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.01)


async def test_an_asynchronous_client_makes_so_many_calls_at_once_and_the_rest_after_them() -> None:
    async with counting(0.5) as server, AsyncClient(server.address) as client:
        told = await in_tasks(client)
    assert [type(each) for each in told] == [ServerInfo] * CALLS
    assert server.most == CALLS_AT_ONCE


async def test_so_do_the_threads_of_a_blocking_client() -> None:
    async with counting(0.5) as server:
        with Client(server.address) as client:
            told = await in_threads(client)
    assert [type(each) for each in told] == [ServerInfo] * CALLS
    assert server.most == CALLS_AT_ONCE


async def test_calls_that_wait_for_their_turn_when_an_asynchronous_client_is_closed_say_so() -> None:
    async with counting(LONG) as server:
        client = AsyncClient(server.address)
        asked = asyncio.create_task(in_tasks(client))
        await is_full(server)
        await client.close()
        faults = await asked
    assert sum(CLOSED in str(fault) for fault in faults) == CALLS - CALLS_AT_ONCE


async def test_so_do_those_of_a_blocking_client() -> None:
    async with counting(LONG) as server:
        client = Client(server.address)
        asked = asyncio.create_task(in_threads(client))
        await is_full(server)
        await asyncio.to_thread(client.close)
        faults = await asked
    assert sum(CLOSED in str(fault) for fault in faults) == CALLS - CALLS_AT_ONCE


async def in_threads(client: Client) -> list[object]:
    """Call from as many threads as there are calls; return answers and faults."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(CALLS) as threads:
        calls = [loop.run_in_executor(threads, client.server_info) for _ in range(CALLS)]
        return list(await asyncio.gather(*calls, return_exceptions=True))


async def in_tasks(client: AsyncClient) -> list[object]:
    """Call from as many tasks."""
    return list(await asyncio.gather(*(client.server_info() for _ in range(CALLS)), return_exceptions=True))
