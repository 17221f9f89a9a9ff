"""A backend that is away takes its own collections with it and nothing else, and comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from vecgate.v1.collection_pb2 import CreateCollectionRequest, ListCollectionsRequest, Unbound
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_backends.errors import BackendUnavailableError, ConfigurationError
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import CollectionSpec
from vecgate_backends.registry import backend_class
from vecgate_server import config_backends, directory
from vecgate_server.app import SERVICE, Server
from vecgate_server.config import Settings
from vecgate_server.directory import BackendStartError

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
EVERYTHING = Selector(all=True)


@dataclass(frozen=True, slots=True)
class NoOptions:
    """None."""


class AwayBackend(MemoryBackend):
    """A memory backend behind a network that the test takes away and gives back."""

    Options: ClassVar[type[Any]] = NoOptions
    away: ClassVar[bool] = False
    misconfigured: ClassVar[bool] = False
    starts: ClassVar[int] = 0

    def __init__(self, options: NoOptions) -> None:
        del options
        super().__init__(MemoryBackend.Options())

    async def start(self) -> None:
        if type(self).misconfigured:
            raise ConfigurationError("the key is wrong")
        self._reach()
        type(self).starts += 1
        await super().start()

    async def check(self) -> None:
        self._reach()
        await super().check()

    async def collection(self, name: str) -> MemoryCollection:
        self._reach()
        return await super().collection(name)

    async def list_collections(self) -> list[CollectionSpec]:
        self._reach()
        return list(await super().list_collections())

    def _reach(self) -> None:
        if type(self).away:
            raise BackendUnavailableError("the network is away", retry_after=3)


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwayBackend, "away", False)
    monkeypatch.setattr(AwayBackend, "misconfigured", False)
    monkeypatch.setattr(AwayBackend, "starts", 0)
    monkeypatch.setattr(directory, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(config_backends, "backend_kinds", lambda: ["away", "memory"])
    monkeypatch.setattr(
        config_backends, "backend_class", lambda kind: AwayBackend if kind == "away" else backend_class(kind)
    )


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[VectorSearchServiceStub, Any]]:
    settings = {
        "server": {"port": 0, "health_interval_seconds": 0.01, "shutdown_grace_seconds": 0},
        "backends": {"near": {"kind": "memory"}, "far": {"kind": "away"}},
        "models": {"preload": []},
    }
    async with (
        Server(Settings.model_validate(settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield VectorSearchServiceStub(channel), HealthStub(channel)


async def state(health: Any, service: str) -> int:
    status: int = (await health.Check(HealthCheckRequest(service=service))).status
    return status


async def until(health: Any, service: str, wanted: int) -> None:
    """Wait for a state of health; the test's own timeout ends a wait in vain."""
    while await state(health, service) != wanted:  # noqa: ASYNC110 - the state is another program's to tell
        await asyncio.sleep(0.01)


async def create(stub: Any, name: str, backend: str) -> None:
    await stub.CreateCollection(CreateCollectionRequest(name=name, backend=backend, unbound=Unbound(dimension=2)))


async def write_and_count(stub: Any, name: str) -> int:
    record = Record(id="a", vector=Vector(floats=FloatList(values=[1, 0])))
    assert (await stub.Upsert(UpsertRequest(collection=name, records=[record]))).stored_count == 1
    counted: int = (await stub.Count(CountRequest(collection=name, selector=EVERYTHING))).count
    return counted


async def test_a_backend_that_is_away_at_the_start_is_opened_when_it_comes_back(refusal: Any) -> None:
    AwayBackend.away = True
    async with serving() as (stub, health):
        assert [await state(health, service) for service in ("", SERVICE, "backend.near", "backend.far")] == [
            SERVING,
            SERVING,
            SERVING,
            NOT_SERVING,
        ]
        info: Any = await stub.GetServerInfo(GetServerInfoRequest())  # type: ignore[misc]  # one stub type for both
        assert [(each.name, each.healthy, each.detail) for each in info.backends] == [
            ("near", True, ""),
            ("far", False, "the network is away"),
        ]
        refused = await refusal(stub.Count(CountRequest(collection="unknown", selector=EVERYTHING)))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
        assert refused.retry_seconds > 0
        AwayBackend.away = False
        await until(health, "backend.far", SERVING)
        await create(stub, "remote", "far")
        assert await write_and_count(stub, "remote") == 1
        assert AwayBackend.starts == 1


async def test_a_backend_that_goes_away_leaves_the_others_to_be_used(refusal: Any) -> None:
    async with serving() as (stub, health):
        await create(stub, "local", "near")
        await create(stub, "remote", "far")
        AwayBackend.away = True
        await until(health, "backend.far", NOT_SERVING)
        assert await state(health, "") == SERVING
        assert await write_and_count(stub, "local") == 1
        refused = await refusal(stub.Count(CountRequest(collection="remote", selector=EVERYTHING)))
        assert (refused.code, refused.reason, refused.retry_seconds) == (
            grpc.StatusCode.UNAVAILABLE,
            "BACKEND_UNAVAILABLE",
            3,
        )
        listed: Any = await stub.ListCollections(ListCollectionsRequest())  # type: ignore[misc]  # as above
        assert [each.name for each in listed.collections] == ["local"]
        assert list(listed.unavailable_backends) == ["far"]
        AwayBackend.away = False
        await until(health, "backend.far", SERVING)
        assert await write_and_count(stub, "remote") == 1


async def test_a_name_is_not_given_while_a_backend_that_may_hold_it_is_away(refusal: Any) -> None:
    async with serving() as (stub, _):
        AwayBackend.away = True
        request = CreateCollectionRequest(name="new", backend="near", unbound=Unbound(dimension=2))
        assert (await refusal(stub.CreateCollection(request))).reason == "BACKEND_UNAVAILABLE"


async def test_a_server_whose_every_backend_is_away_does_not_serve() -> None:
    AwayBackend.away = True
    settings = Settings.model_validate(
        {
            "server": {"port": 0, "health_interval_seconds": 0.01, "shutdown_grace_seconds": 0},
            "backends": {"far": {"kind": "away"}},
            "models": {"preload": []},
        }
    )
    async with Server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        health: Any = HealthStub(channel)
        assert await state(health, "") == NOT_SERVING
        AwayBackend.away = False
        await until(health, "", SERVING)


async def test_a_backend_that_is_configured_wrongly_ends_the_start() -> None:
    AwayBackend.misconfigured = True
    with pytest.raises(BackendStartError, match="backend 'far': the key is wrong"):
        async with serving():
            pass
