"""The server put together: the only place that constructs parts, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Self, cast

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from vecgate.v1 import service_pb2
from vecgate.v1.service_pb2_grpc import add_VectorSearchServiceServicer_to_server
from vecgate_server.calls.admission import Admission, Phase
from vecgate_server.calls.grpc_log import keep_callers_out_of_the_log
from vecgate_server.calls.key_quotas import KeyQuotas
from vecgate_server.calls.registration import Services
from vecgate_server.calls.unread_answers import UnreadAnswers
from vecgate_server.calls.wrapping import Surroundings, WrappingServer
from vecgate_server.config import ServerSettings, Settings
from vecgate_server.configured_backend import configured_backends
from vecgate_server.directory import Directory
from vecgate_server.draining import Draining
from vecgate_server.encoders.base import Models
from vecgate_server.exit_codes import FAILED
from vecgate_server.health import STARTUP, HealthMonitor, HealthService, backend_service
from vecgate_server.health_port import HealthPort
from vecgate_server.listening import MAIN_SETTINGS, connection_options, listen
from vecgate_server.model_start import models_of
from vecgate_server.observation import Observation, Watched
from vecgate_server.security.guarded_services import add_guarded_services
from vecgate_server.security.protection import Protection
from vecgate_server.service.collections import CollectionHandlers
from vecgate_server.service.encode import EncodeHandlers
from vecgate_server.service.info import InfoHandlers
from vecgate_server.service.read import ReadHandlers
from vecgate_server.service.rerank import RerankHandlers
from vecgate_server.service.search import SearchHandlers
from vecgate_server.service.search_batch import SearchBatchHandlers
from vecgate_server.service.servicer import Handlers, VectorSearchService
from vecgate_server.service.upsert_stream import UpsertStreamHandlers
from vecgate_server.service.write import WriteHandlers

SERVICE = service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"].full_name
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
FLUSH_SECONDS = 2.0
"""Time for the last answers to leave, once they were made."""
CLOSING_SECONDS = 30.0
"""Time for models and backends to close after the calls; one that hangs must not keep the process from ending."""
OVERALL_HEALTH = ("", SERVICE)
SWITCH_SECONDS = 0.0005
"""How long the event loop may wait for the interpreter while a thread that writes or builds computes in Python. The interpreter's own 5 ms
are paid several times a call: a search beside bulk upserts took twice as long.
See https://docs.python.org/3/library/sys.html#sys.setswitchinterval."""

log = logging.getLogger(__name__)


class Server:
    """One vecgate server. `async with Server(settings) as server:` serves at `server.address` until the block ends."""

    def __init__(self, settings: Settings, *, models: Models | None = None) -> None:
        """Build every part; nothing is opened yet.

        Args:
            settings: what to serve.
            models: stands in for the models of the settings.

        Raises:
            ConfigurationError: a backend's options are wrong, or what it needs is not installed.
        """
        self._settings = settings
        self.address = ""
        self.protection = Protection(settings.security)
        self._models = models or models_of(settings)
        self._directory = Directory(configured_backends(settings), settings.default_backend_name)
        self._draining = Draining()
        self._admission = Admission(settings.limits, lambda: self._directory.progress)
        services = [*OVERALL_HEALTH, *(backend_service(name) for name in settings.backends)]
        self._health = HealthService(services)
        self._monitor = HealthMonitor(self._health, self._directory, self._models, overall=OVERALL_HEALTH)
        self._monitoring: asyncio.Task[None] | None = None
        self.health_port = _health_port(settings.server, self._health)
        self._grpc: grpc.aio.Server | None = None
        self._streams = UpsertStreamHandlers(self._directory, self._models, settings.limits, self._draining)
        watched = Watched(self._models, self._directory, self._admission, self._health, self.protection)
        self._observation = Observation(settings, watched)
        self.metrics = self._observation.metrics

    async def start(self) -> None:
        """Listen, load models while backends are opened, then turn SERVING; on a fault, or cancelled, stop what was started.

        Calls may be in hand by then, of backends that were opened before the models were loaded: they get the grace of the settings.

        One of several processes listens last: until it serves, the others get the calls.

        Raises:
            ConfigurationError, VecgateError: it cannot serve; the message is one sentence.
        """
        try:
            for step in (self.open, self.listen) if self._settings.server.shares_port else (self.listen, self.open):
                await step()
        except BaseException:
            await self.stop()
            raise

    async def listen(self) -> None:
        """Bind the address and answer health (NOT_SERVING), reflection and channelz; other calls get UNAVAILABLE.

        Raises:
            ListenError: the address is in use or not of this machine.
            ConfigurationError: that of the metrics is, or the audit log cannot be written.
        """
        keep_callers_out_of_the_log()
        services = self._services()
        options = connection_options(self._settings.server, self._settings.limits)
        server = self._grpc = grpc.aio.server(handlers=services.handlers, options=options)
        where = self._settings.server
        credentials = self.protection.credentials()
        address = listen(server, where.host, where.port, MAIN_SETTINGS, credentials, shared=where.shares_port)
        self.protection.begin()
        await server.start()
        self.address = address
        if self.health_port:
            await self.health_port.start()
        self._observation.start()

    async def open(self) -> None:
        """Open backends while models are loaded, then accept calls, and turn SERVING once the models are warm.

        Raises:
            BackendStartError: a backend cannot be used; one that is merely away is waited for beside the others.
            ModelUnavailableError: a model to be preloaded cannot be loaded.
        """
        loading = asyncio.create_task(self._models.start())
        try:
            await self._directory.open()
            self._admission.phase = Phase.SERVING
            await loading
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        await self._monitor.look()
        self._health.set(STARTUP, fault="")
        self._monitoring = asyncio.create_task(self._monitor.watch(self._settings.server.health_interval_seconds))

    async def stop(self, grace: float | None = None) -> None:
        """Turn NOT_SERVING, let calls in flight finish within the grace, then close models and backends; idempotent.

        Args:
            grace: seconds; None means that of the settings.
        """
        grace = self._settings.server.shutdown_grace_seconds if grace is None else grace
        self._health.drain()
        self._draining.begin(grace)
        # While gRPC itself stops, it drops new calls with CANCELLED and without a time to come back, so it stops last: until then
        # they get UNAVAILABLE.
        drained = await self._admission.drain(grace)
        if self._monitoring:
            self._monitoring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._monitoring
            self._monitoring = None
        # From the last to the first, each whatever becomes of those before it.
        async with contextlib.AsyncExitStack() as closing:
            if self.health_port:
                # Last, so that the process counts as alive while it closes.
                closing.push_async_callback(self.health_port.stop)
            closing.push_async_callback(self.protection.close)
            closing.push_async_callback(self._directory.close)
            closing.push_async_callback(self._models.close)
            closing.push_async_callback(self._observation.stop)
            if self._grpc:
                server, self._grpc = self._grpc, None
                await server.stop(FLUSH_SECONDS if drained else 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _services(self) -> Services:
        services, limits = Services(), self._settings.limits
        protection, observation = self.protection, self._observation
        around = Surroundings(
            self._admission,
            UnreadAnswers(limits.max_unread_answer_bytes),
            gate=protection.gate,
            quotas=KeyQuotas(limits),
            observers=(*observation.observers, *protection.observers),
            tracer=observation.tracer,
        )
        wrapping = WrappingServer(services, around, max_message_bytes=limits.max_message_bytes)
        add_VectorSearchServiceServicer_to_server(
            VectorSearchService(self._handlers()), cast("grpc.aio.Server", wrapping)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, cast("grpc.aio.Server", services))
        add_guarded_services(services, around, (SERVICE, HEALTH, reflection.SERVICE_NAME))
        return services

    def _handlers(self) -> Handlers:
        directory, models, limits = self._directory, self._models, self._settings.limits
        return Handlers(
            encode=EncodeHandlers(models, limits),
            write=WriteHandlers(directory, models, limits),
            upsert_stream=self._streams,
            search=SearchHandlers(directory, models, limits),
            search_batch=SearchBatchHandlers(directory, models, limits),
            rerank=RerankHandlers(models, limits),
            read=ReadHandlers(directory, limits),
            collections=CollectionHandlers(directory, models, limits),
            info=InfoHandlers(directory, self._settings.models.default, limits),
        )


async def serve(settings: Settings, models: Models, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal exits at once.

    Args:
        settings: what to serve.
        models: those of the settings.
        announce: called with the bound address once the server is SERVING.

    Raises:
        ConfigurationError, StoreLockedError, VecgateError: it cannot serve; the message is one sentence.
    """
    await serve_until(_stop_signals(), settings, models, announce)


async def serve_until(
    stopping: asyncio.Event, settings: Settings, models: Models, announce: Callable[[str], None]
) -> None:
    """Serve until `stopping` is set, then drain; the rest as serve()."""
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Server(settings, models=models)
    starting = asyncio.create_task(server.start())
    waiting = asyncio.create_task(stopping.wait())
    within = settings.server.shutdown_grace_seconds + FLUSH_SECONDS + CLOSING_SECONDS
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        starting.cancel()
        await _end_within(within, starting)
    try:
        await starting
    except asyncio.CancelledError:
        return
    # What is there now stays to the end. Looking through it for garbage would stop everything for 50 ms, again and again during bulk writes.
    gc.collect()
    gc.freeze()
    announce(server.address)
    await waiting
    ending = asyncio.create_task(server.stop())
    await _end_within(within, ending)
    await ending


def _stop_signals() -> asyncio.Event:
    """Return what is set by the first SIGTERM or SIGINT; the second one ends the process."""
    stopping = asyncio.Event()

    def stop(signal_number: int) -> None:
        if stopping.is_set():
            os._exit(128 + signal_number)
        log.info("%s: draining", signal.Signals(signal_number).name)
        stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop, each)
    return stopping


async def _end_within(seconds: float, ending: asyncio.Task[None]) -> None:
    """Wait for the end of a server, and end the process where that takes too long; what was acknowledged is safe even then."""
    await asyncio.wait({ending}, timeout=seconds)
    if not ending.done():
        log.error("models or backends did not close within %g s: ending without them", CLOSING_SECONDS)
        logging.shutdown()
        os._exit(FAILED)


def _health_port(settings: ServerSettings, health: HealthService) -> HealthPort | None:
    port = settings.health_port
    return None if port is None else HealthPort(settings.health_host, port, health, shared=settings.shares_port)
