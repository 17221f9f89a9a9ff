"""Calls that wait to be let in: only so many may. The server runs in this process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from hostile.http2_connection import Http2Connection, grpc_message

from vecgate.v1.read_pb2 import CountRequest
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.metrics.grpc_calls import GrpcCallCollector

SETTINGS: dict[str, Any] = {
    "server": {"port": 0},
    "backends": {"memory": {"kind": "memory"}},
    "models": {"preload": []},
}
COUNT = grpc_message(CountRequest(collection="none").SerializeToString())
CANCELLED, NOT_FOUND = 1, 5
BLOCKED_SECONDS = 0.5


async def statuses_of_a_burst(server: Server, calls: int) -> Counter[int | None]:
    """Send calls over one connection while the server's loop does nothing."""
    with Http2Connection(server.address) as connection:
        await asyncio.to_thread(connection.statuses, [0], 0.1)  # what the server says first
        streams = [connection.call("Count", COUNT) for _ in range(calls)]
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  # the loop is that of the server
        return Counter((await asyncio.to_thread(connection.statuses, streams)).values())


async def test_calls_past_the_limit_of_those_that_wait_are_dropped_and_the_others_answered() -> None:
    async with Server(Settings.model_validate(SETTINGS | {"limits": {"max_waiting_calls": 8}})) as server:
        statuses = await statuses_of_a_burst(server, 100)
        assert set(statuses) == {NOT_FOUND, CANCELLED}
        assert sum(statuses.values()) == 100
        assert 8 <= statuses[NOT_FOUND] <= 32
        assert await statuses_of_a_burst(server, 4) == {NOT_FOUND: 4}


def came_and_ended() -> tuple[int, int]:
    came, ended = (int(family.samples[0].value) for family in GrpcCallCollector().collect())
    return came, ended


async def test_the_metrics_tell_how_many_were_dropped() -> None:
    async with Server(Settings.model_validate(SETTINGS | {"limits": {"max_waiting_calls": 8}})) as server:
        before = came_and_ended()
        statuses = await statuses_of_a_burst(server, 100)
        after = came_and_ended()
    assert (after[0] - before[0], after[1] - before[1]) == (100, statuses[NOT_FOUND])


async def test_a_burst_of_half_that_limit_loses_no_call() -> None:
    async with Server(Settings.model_validate(SETTINGS)) as server:
        assert await statuses_of_a_burst(server, 128) == {NOT_FOUND: 128}
