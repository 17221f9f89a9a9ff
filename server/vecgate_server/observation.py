"""What watches a server: metrics, traces and the log of slow calls, as the settings say."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from vecgate.v1 import service_pb2
from vecgate_backends.errors import ConfigurationError
from vecgate_server.calls.admission import Admission
from vecgate_server.calls.observer import CallObserver
from vecgate_server.calls.tracer import CallTracer
from vecgate_server.config import Settings
from vecgate_server.config_telemetry import TraceSettings
from vecgate_server.directory import Directory
from vecgate_server.encoders.base import Models
from vecgate_server.health import HealthService
from vecgate_server.metrics.backends import BackendCollector
from vecgate_server.metrics.calls import CallMetrics
from vecgate_server.metrics.endpoint import MetricsEndpoint
from vecgate_server.metrics.grpc_calls import GrpcCallCollector
from vecgate_server.metrics.models import ModelCollector
from vecgate_server.metrics.process import EventLoopLag, ServerCollector
from vecgate_server.security.protection import Protection
from vecgate_server.slow_calls import SlowCallLog

METHODS = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"].methods]


@dataclass(frozen=True, slots=True)
class Watched:
    """The parts of a server that know what there is to see."""

    models: Models
    directory: Directory
    admission: Admission
    health: HealthService
    protection: Protection


class Observation:
    """Begins with start(), ends with stop().

    Attributes:
        observers: are to be told of every call.
        tracer: is to be around every call, if there is one.
        metrics: where Prometheus reads, if anywhere.
    """

    def __init__(self, settings: Settings, watched: Watched) -> None:
        """Build what is asked for; nothing is opened yet but the connection to a collector of traces.

        Raises:
            ConfigurationError: the packages for traces are not installed, or the file of headers cannot be read.
        """
        telemetry = settings.telemetry
        self.observers: list[CallObserver] = []
        self.metrics: MetricsEndpoint | None = None
        self.tracer: CallTracer | None = None
        self._watching: asyncio.Task[None] | None = None
        if telemetry.slow_call_seconds:
            self.observers.append(SlowCallLog(telemetry.slow_call_seconds))
        if telemetry.metrics_port is not None:
            calls = CallMetrics(METHODS, watched.admission)
            self.observers.append(calls)
            self._lag = EventLoopLag()
            collectors = [
                calls,
                GrpcCallCollector(),
                ModelCollector(watched.models, queue_tokens=settings.encoder.queue_tokens),
                BackendCollector(watched.directory.backends),
                ServerCollector(
                    lambda: watched.health.serving,
                    lambda: watched.protection.certificate_expiry,
                    lambda: watched.protection.files_usable,
                ),
                self._lag,
            ]
            self.metrics = MetricsEndpoint(telemetry.metrics_host, telemetry.metrics_port, collectors)
        if telemetry.traces.endpoint is not None:
            self._trace(telemetry.traces)

    def start(self) -> None:
        """Listen where metrics are read.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        if self.metrics:
            self.metrics.start()
            self._watching = asyncio.create_task(self._lag.watch())

    async def stop(self) -> None:
        """Close the port of the metrics, and send the traces that are left, within a bounded time; idempotent."""
        watching, self._watching = self._watching, None
        if watching:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        if self.metrics:
            # It waits for its thread, half a second at most.
            await asyncio.to_thread(self.metrics.stop)
        tracer, self.tracer = self.tracer, None
        if tracer:
            await asyncio.to_thread(tracer.close)

    def _trace(self, settings: TraceSettings) -> None:
        try:
            # Its packages are many, and most servers do without.
            from vecgate_server.tracing import OtlpTracer  # noqa: PLC0415
        except ImportError as missing:
            raise ConfigurationError(
                f"telemetry.traces needs {missing.name}; install it with: pip install 'vecgate[telemetry]'"
            ) from None
        tracer = OtlpTracer(settings)
        self.tracer = tracer
        self.observers.append(tracer)
