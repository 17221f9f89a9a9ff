"""Where Prometheus reads metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

from vecgate_backends.errors import ConfigurationError

log = logging.getLogger(__name__)


class MetricsEndpoint:
    """Answers HTTP at /metrics from start() to stop(), in threads of its own; as OpenMetrics to whoever asks for that."""

    def __init__(self, host: str, port: int, collectors: Iterable[Collector]) -> None:
        """Register every collector, and those of the process; nothing is opened yet. Port 0 lets the system pick one."""
        self._host = host
        self._port = port
        # Not the library's global registry: two servers in one process have figures of their own.
        self._registry = CollectorRegistry()
        for each in collectors:
            self._registry.register(each)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._serving: tuple[WSGIServer, Thread] | None = None
        self.address = ""

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        try:
            server, thread = start_http_server(self._port, self._host, registry=self._registry)
        except OSError as fault:
            raise ConfigurationError(
                f"metrics cannot listen on {self._host}:{self._port}: {fault.strerror}; telemetry.metrics_host and "
                "telemetry.metrics_port tell where"
            ) from None
        self._serving = server, thread
        self.address = f"{self._host}:{server.server_port}"
        log.info("metrics at http://%s/metrics", self.address)

    def stop(self) -> None:
        """Close the port; idempotent."""
        if self._serving:
            server, thread = self._serving
            self._serving = None
            server.shutdown()
            server.server_close()
            thread.join()
