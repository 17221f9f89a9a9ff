"""grpc.health.v1 with the real state: models warm, backends answering, not draining.

Services known: "" and the service's full name, which is readiness (every model to be preloaded is warm and at least one backend answers:
the collections of a backend that is away are no reason to take those of the others away); "backend.<name>" for each backend alone;
"startup", SERVING once the start is complete, for good; "liveness", SERVING as long as the process can answer, also while it drains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from typing_extensions import override

from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.directory import Directory
from vecgate_server.encoders.base import Models

Context: TypeAlias = "grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]"

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN

STARTUP = "startup"
LIVENESS = "liveness"
LASTING = (STARTUP, LIVENESS)
"""Services that a drain leaves as they are: a server that drains is neither to be waited for nor to be killed."""
NOT_LOOKED_AT = "it was not looked at yet"

log = logging.getLogger(__name__)


BACKEND_PREFIX = "backend."


def backend_service(name: str) -> str:
    """Return the health service of a backend."""
    return f"{BACKEND_PREFIX}{name}"


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers Check and Watch from a table of states.

    Not grpc_health's own servicer: that one forgets all watchers of a service when the first of them leaves.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._states: dict[str, int] = dict.fromkeys((*services, STARTUP), NOT_SERVING)
        # Whoever can read this is alive.
        self._states[LIVENESS] = SERVING
        self._changed = asyncio.Event()
        self._draining = False

    @override
    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        """Answer the state now; NOT_FOUND for a service that is not known."""
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r}")
        return HealthCheckResponse(status=state)

    @override
    async def Watch(self, request: HealthCheckRequest, context: Context) -> AsyncIterator[HealthCheckResponse]:
        """Send the state now and after each change, until the caller leaves or the server drains.

        The stream ends with the drain, since a server waits for its open streams before it stops.
        """
        last: int | None = None
        while True:
            # All of one moment: what changes while a message is sent is seen in the next round.
            changed, draining = self._changed, self._draining
            state = self._states.get(request.service, SERVICE_UNKNOWN)
            if state != last:
                last = state
                yield HealthCheckResponse(status=state)
            if draining:
                return
            await changed.wait()

    @property
    def serving(self) -> Mapping[str, bool]:
        """Whether each service is SERVING now."""
        return {service: state == SERVING for service, state in self._states.copy().items()}

    def set(self, service: str, *, fault: str) -> None:
        """Change a state and tell the watchers: SERVING without a fault, else NOT_SERVING."""
        state = NOT_SERVING if fault else SERVING
        if self._draining or self._states[service] == state:
            return
        self._states[service] = state
        if fault:
            log.warning("%s is NOT_SERVING: %s", service or "the server", fault)
        else:
            log.info("%s is SERVING", service or "the server")
        self._tell_watchers()

    def drain(self) -> None:
        """Turn every service but the lasting ones NOT_SERVING for good."""
        self._draining = True
        self._states = {name: state if name in LASTING else NOT_SERVING for name, state in self._states.items()}
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        # A fresh event for the next change: each watcher waits on the one it saw with the state it sent.
        self._changed.set()
        self._changed = asyncio.Event()


class HealthMonitor:
    """Looks at models and backends at an interval and writes what it sees into the health service.

    Each backend is looked at for itself: one that hangs keeps nobody from seeing how the others are.
    """

    def __init__(self, health: HealthService, directory: Directory, models: Models, *, overall: Iterable[str]) -> None:
        self._health = health
        self._directory = directory
        self._models = models
        self._overall = tuple(overall)
        self._faults = {each.name: NOT_LOOKED_AT for each in directory.backends}

    async def look(self) -> None:
        """Look once, at all backends side by side; what is seen of one is told at once."""
        await asyncio.gather(*(self._look_at(each) for each in self._directory.backends))

    async def watch(self, interval: float) -> None:
        """Look every `interval` seconds until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_models(interval))
            for each in self._directory.backends:
                group.create_task(self._follow(each, interval))

    async def _follow(self, backend: ConfiguredBackend, interval: float) -> None:
        while True:
            await self._look_at(backend)
            await asyncio.sleep(interval)

    async def _follow_models(self, interval: float) -> None:
        while True:
            self._sum_up()
            await asyncio.sleep(interval)

    async def _look_at(self, backend: ConfiguredBackend) -> None:
        fault = self._faults[backend.name] = await backend.fault()
        self._health.set(backend_service(backend.name), fault=fault)
        self._sum_up()

    def _sum_up(self) -> None:
        unready = [] if self._models.ready else ["models are not loaded"]
        broken = [f"backend {name}: {fault}" for name, fault in self._faults.items() if fault]
        if len(broken) < len(self._faults):
            broken = []
        for service in self._overall:
            self._health.set(service, fault="; ".join(unready + broken))
