"""Health tells the truth from the first moment the port answers to the last; reflection lists what is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from faults.held_worker import until
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from vecgate.v1.collection_pb2 import CreateCollectionRequest, Unbound
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.memory import MemoryBackend
from vecgate_backends.records import CollectionSpec
from vecgate_server import configured_backend
from vecgate_server.app import SERVICE, Server
from vecgate_server.calls.admission import Phase
from vecgate_server.config import Settings
from vecgate_server.encoders.base import CrossEncoder, Encoder, ModelStatus
from vecgate_server.errors import ModelNotFoundError
from vecgate_server.listening import ListenError

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICES = ["", SERVICE, "backend.memory"]


class SlowModels:
    """Models whose loading takes as long as the test wants."""

    def __init__(self) -> None:
        self.loading = asyncio.Event()
        self.loaded = asyncio.Event()

    async def start(self) -> None:
        self.loading.set()
        await self.loaded.wait()

    async def close(self) -> None:
        self.loaded.clear()

    async def encoder(self, name: str | None) -> Encoder:
        raise ModelNotFoundError(f"no model {name}")

    async def cross_encoder(self, name: str) -> CrossEncoder:
        raise ModelNotFoundError(f"no model {name}")

    def statuses(self) -> Sequence[ModelStatus]:
        return []

    @property
    def ready(self) -> bool:
        return self.loaded.is_set()


def memory_settings(*backends: str, health_port: int = 0) -> Settings:
    return Settings.model_validate(
        {
            "server": {"port": 0, "health_interval_seconds": 0.01, "health_port": health_port},
            "backends": {name: {"kind": "memory"} for name in backends or ["memory"]},
            "models": {"preload": []},
        }
    )


@asynccontextmanager
async def starting_server(*backends: str) -> AsyncIterator[tuple[Server, SlowModels, grpc.aio.Channel]]:
    """A server that listens and waits for its models."""
    models = SlowModels()
    server = Server(memory_settings(*backends), models=models)
    await server.listen()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield server, models, channel
    finally:
        await server.stop(grace=0)


async def states(channel: grpc.aio.Channel) -> list[int]:
    return await asked(channel, *SERVICES)


async def asked(channel: grpc.aio.Channel, *services: str) -> list[int]:
    health: Any = HealthStub(channel)
    return [(await health.Check(HealthCheckRequest(service=service))).status for service in services]


async def test_health_answers_before_backends_are_open_and_other_calls_are_refused(refusal: Any) -> None:
    async with starting_server() as (_, _, channel):
        assert await states(channel) == [NOT_SERVING] * 3
        refused = await refusal(VectorSearchServiceStub(channel).Count(CountRequest(collection="a")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STARTING")
        assert refused.retry_seconds == 1


async def test_a_refusal_at_the_start_tells_how_far_it_is(refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def load(_: MemoryBackend) -> None:
        await may_end.wait()

    may_end = asyncio.Event()
    monkeypatch.setattr(MemoryBackend, "start", load)
    monkeypatch.setattr(MemoryBackend, "progress", "loading collection a: 3 of 9 records", raising=False)
    async with starting_server() as (server, models, channel):
        opening = asyncio.create_task(server.open())
        await models.loading.wait()
        refused = await refusal(VectorSearchServiceStub(channel).Count(CountRequest(collection="a")))
        assert await states(channel) == [NOT_SERVING] * 3
        assert refused.message == "the server is starting: backend memory is loading collection a: 3 of 9 records"
        may_end.set()
        models.loaded.set()
        await opening


async def test_health_turns_serving_only_when_models_are_warm() -> None:
    async with starting_server() as (server, models, channel):
        opening = asyncio.create_task(server.open())
        await models.loading.wait()
        assert await states(channel) == [NOT_SERVING] * 3
        models.loaded.set()
        await opening
        assert await states(channel) == [SERVING] * 3


async def test_watch_follows_a_backend_down_and_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with starting_server() as (server, models, channel):
        models.loaded.set()
        await server.open()
        health: Any = HealthStub(channel)
        watches = [health.Watch(HealthCheckRequest(service=service)) for service in SERVICES]
        assert [(await watch.read()).status for watch in watches] == [SERVING] * 3
        with monkeypatch.context() as patch:
            patch.setattr(MemoryBackend, "check", unavailable)
            assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 3
        assert [(await watch.read()).status for watch in watches] == [SERVING] * 3


async def test_a_backend_that_hangs_delays_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(backend: MemoryBackend) -> None:
        if backend is hanging and server._admission.phase is Phase.SERVING:
            while not ended.is_set():  # not even a cancellation gets through
                with suppress(asyncio.CancelledError):
                    await ended.wait()
        await healthy(backend)

    ended = asyncio.Event()
    asyncio.get_running_loop().call_later(30, ended.set)  # a test that fails must not wait for it
    healthy = MemoryBackend.check
    monkeypatch.setattr(MemoryBackend, "check", check)
    monkeypatch.setattr(configured_backend, "CHECK_SECONDS", 0.2)
    async with starting_server("hanging", "memory") as (server, models, channel):
        hanging: Any = server._directory.backend("hanging")._backend
        models.loaded.set()
        health: Any = HealthStub(channel)
        watches = [health.Watch(HealthCheckRequest(service=f"backend.{name}")) for name in ("hanging", "memory")]
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 2
        opening = asyncio.create_task(server.open())
        assert (await watches[1].read()).status == SERVING
        await opening
        assert await states(channel) == [SERVING] * 3
        began = asyncio.get_running_loop().time()
        monkeypatch.setattr(configured_backend, "CHECK_SECONDS", 60)
        with monkeypatch.context() as patch:
            patch.setattr(MemoryBackend, "check", unavailable)
            assert (await watches[1].read()).status == NOT_SERVING
        assert (await watches[1].read()).status == SERVING
        assert asyncio.get_running_loop().time() - began < 10
        ended.set()
        assert (await watches[0].read()).status == SERVING


async def test_startup_and_liveness_say_what_kubernetes_asks() -> None:
    async with starting_server() as (server, models, channel):
        assert await asked(channel, "startup", "liveness") == [NOT_SERVING, SERVING]
        models.loaded.set()
        await server.open()
        assert await asked(channel, "startup", "liveness") == [SERVING, SERVING]
        models.loaded.clear()
        await until(lambda: server._health._states[""] == NOT_SERVING)
        assert await asked(channel, "", "startup", "liveness") == [NOT_SERVING, SERVING, SERVING]
        server._health.drain()
        assert await asked(channel, *SERVICES, "startup", "liveness") == [*[NOT_SERVING] * 3, SERVING, SERVING]


async def test_the_health_port_tells_health_and_nothing_else() -> None:
    async with starting_server() as (server, models, channel):
        assert server.health_port
        async with grpc.aio.insecure_channel(server.health_port.address) as plain:
            assert await states(plain) == [NOT_SERVING] * 3
            watch = HealthStub(plain).Watch(HealthCheckRequest(service=""))  # type: ignore[attr-defined]  # set at run time
            assert (await watch.read()).status == NOT_SERVING
            models.loaded.set()
            await server.open()
            assert (await watch.read()).status == SERVING
            assert await states(plain) == await states(channel) == [SERVING] * 3
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await VectorSearchServiceStub(plain).Count(CountRequest(collection="a"))
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
            telling = asyncio.ensure_future(watch.read())
            await server.stop()
            assert (await telling).status == NOT_SERVING
            assert await watch.read() == grpc.aio.EOF


async def test_a_health_port_that_is_taken_is_told() -> None:
    async with starting_server() as (server, _, _):
        assert server.health_port
        port = int(server.health_port.address.rpartition(":")[2])
        other = Server(memory_settings(health_port=port), models=SlowModels())
        with pytest.raises(ListenError, match=r"server\.health_host and server\.health_port tell where"):
            await other.start()


async def unavailable(_: MemoryBackend) -> None:
    raise BackendUnavailableError("the backend is away")


async def test_a_watcher_that_leaves_takes_nothing_from_the_others() -> None:
    async with starting_server() as (server, models, channel):
        health: Any = HealthStub(channel)
        leaving, staying = (health.Watch(HealthCheckRequest(service="")) for _ in range(2))
        assert [(await watch.read()).status for watch in (leaving, staying)] == [NOT_SERVING] * 2
        leaving.cancel()
        models.loaded.set()
        await server.open()
        assert (await staying.read()).status == SERVING


async def test_a_drain_tells_the_watchers_and_ends_their_streams() -> None:
    async with starting_server() as (server, models, channel):
        models.loaded.set()
        await server.open()
        watch = HealthStub(channel).Watch(HealthCheckRequest(service=""))  # type: ignore[attr-defined]  # set at run time
        assert (await watch.read()).status == SERVING
        # A client that knows the end of a stream gives no message of it any more.
        telling = asyncio.ensure_future(watch.read())
        await server.stop(grace=60)
        assert (await telling).status == NOT_SERVING
        assert await watch.read() == grpc.aio.EOF


async def test_a_stop_while_models_are_loaded_lets_the_calls_in_hand_end(monkeypatch: pytest.MonkeyPatch) -> None:
    came, may_end = asyncio.Event(), asyncio.Event()
    create = MemoryBackend.create_collection

    async def create_in_time(backend: MemoryBackend, spec: CollectionSpec) -> None:
        came.set()
        await may_end.wait()
        await create(backend, spec)

    monkeypatch.setattr(MemoryBackend, "create_collection", create_in_time)
    models = SlowModels()
    server = Server(memory_settings(), models=models)
    starting = asyncio.create_task(server.start())
    await models.loading.wait()
    async with grpc.aio.insecure_channel(server.address) as channel:
        request = CreateCollectionRequest(name="notes", unbound=Unbound(dimension=2))
        call = asyncio.ensure_future(VectorSearchServiceStub(channel).CreateCollection(request))
        await came.wait()
        starting.cancel()
        await until(lambda: server._draining.begun)
        may_end.set()
        assert (await call).collection.name == "notes"
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_health_of_an_unknown_service_is_not_found() -> None:
    async with starting_server() as (_, _, channel):
        health: Any = HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health.Check(HealthCheckRequest(service="nobody"))
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health.Watch(HealthCheckRequest(service="nobody"))
        assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


async def test_reflection_lists_the_service_before_it_serves() -> None:
    async with starting_server() as (_, _, channel):
        reflection: Any = ServerReflectionStub(channel)  # type: ignore[arg-type]  # typed for blocking channels only
        requests = [ServerReflectionRequest(list_services="")]
        answers = [answer async for answer in reflection.ServerReflectionInfo(requests)]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names
