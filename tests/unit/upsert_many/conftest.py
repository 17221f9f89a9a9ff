"""Both clients, told apart by nothing but their fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults.stream_stand_in import StandIn, serving, stand_in

from vecgate import AsyncClient, Client, UpsertResult

UpsertMany = Callable[..., UpsertResult]


@pytest.fixture
def service() -> StandIn:
    return stand_in()


@pytest.fixture
def target(service: StandIn) -> Iterator[str]:
    with serving(service) as port:
        yield f"127.0.0.1:{port}"
    assert service.complaints == []


def blocking(target: str, records: Any, **options: Any) -> UpsertResult:
    with Client(target) as client:
        return client.upsert_many("docs", records, **options)


def asynchronous(target: str, records: Any, **options: Any) -> UpsertResult:
    async def upsert_many() -> UpsertResult:
        async with AsyncClient(target) as client:
            return await client.upsert_many("docs", records, **options)

    return asyncio.run(upsert_many())


@pytest.fixture(params=[blocking, asynchronous], ids=lambda kind: kind.__name__)
def upsert_many(request: pytest.FixtureRequest) -> UpsertMany:
    """Upsert to a target into "docs", with either client."""
    upsert: UpsertMany = request.param
    return upsert
