"""What a watcher of the health service is told while its last message is still on its way."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vecgate_server.health import HealthService

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
CONTEXT: Any = None


@pytest.fixture
def health() -> HealthService:
    service = HealthService([""])
    service.set("", fault="")
    return service


async def test_a_drain_that_begins_while_a_message_is_sent_is_told_before_the_end(health: HealthService) -> None:
    told = []
    async for response in health.Watch(HealthCheckRequest(service=""), CONTEXT):
        told.append(response.status)
        health.drain()
    assert told == [SERVING, NOT_SERVING]


async def test_a_change_that_comes_while_a_message_is_sent_is_told_next(health: HealthService) -> None:
    watch = health.Watch(HealthCheckRequest(service=""), CONTEXT)
    assert (await anext(watch)).status == SERVING
    health.set("", fault="the backend is away")
    assert (await anext(watch)).status == NOT_SERVING


async def test_a_watcher_of_a_lasting_service_is_told_nothing_more_by_a_drain(health: HealthService) -> None:
    told = []
    async for response in health.Watch(HealthCheckRequest(service="liveness"), CONTEXT):
        told.append(response.status)
        health.drain()
    assert told == [SERVING]
