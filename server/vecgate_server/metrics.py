"""Metrics for Prometheus, over HTTP at /metrics.

Every figure is read from the part that counts it when Prometheus asks; calls pay nothing for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vecgate_backends.errors import ConfigurationError
from vecgate_server.encoders.base import ModelCounters, Models, ModelState, ModelStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _ModelMetric:
    """A metric with the label "model": its name without the prefix, what it says, and how it is read from a status."""

    family: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    documentation: str
    value: Callable[[ModelStatus], float]


def _counted(name: str, documentation: str, value: Callable[[ModelCounters], float]) -> _ModelMetric:
    return _ModelMetric(CounterMetricFamily, name, documentation, lambda status: value(status.counters))


MODEL_METRICS = (
    _counted("texts", "Texts and pairs answered.", lambda counters: counters.texts),
    _counted("texts_reused", "Texts answered without a run of the model.", lambda counters: counters.reused),
    _counted("tokens", "Tokens that the model read.", lambda counters: counters.tokens),
    _counted("runs", "Forward passes.", lambda counters: counters.runs),
    _counted("run_seconds", "Time of forward passes, all workers together.", lambda counters: counters.run_seconds),
    _counted("refused_calls", "Calls refused because the queue was full.", lambda counters: counters.refused_calls),
    _counted("worker_restarts", "Workers that died and were replaced.", lambda counters: counters.worker_restarts),
    _ModelMetric(
        GaugeMetricFamily,
        "ready",
        "1 if the model is loaded and warm.",
        lambda status: float(status.state is ModelState.READY),
    ),
    _ModelMetric(
        GaugeMetricFamily,
        "memory_bytes",
        "Memory of the model's workers, as measured after it was loaded.",
        lambda status: status.memory_bytes,
    ),
    _ModelMetric(
        GaugeMetricFamily,
        "cache_bytes",
        "What the model's cache of vectors takes.",
        lambda status: status.counters.cache_bytes,
    ),
)


class ModelCollector(Collector):
    """The figures of every configured model, with the label "model"; queues have the label "role" too."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Read every figure now."""
        statuses = self._models.statuses()
        for metric in MODEL_METRICS:
            family = metric.family(f"vecgate_model_{metric.name}", metric.documentation, labels=["model"])
            for status in statuses:
                family.add_metric([status.name], metric.value(status))
            yield family
        waiting = GaugeMetricFamily(
            "vecgate_model_waiting_tokens", "Tokens that wait for the model.", labels=["model", "role"]
        )
        for status in statuses:
            for role, tokens in status.counters.waiting_tokens.items():
                waiting.add_metric([status.name, role.value], tokens)
        yield waiting


class MetricsEndpoint:
    """Answers HTTP at /metrics from start() to stop(), in threads of its own."""

    def __init__(self, host: str, port: int, models: Models) -> None:
        """Register every collector; nothing is opened yet. Port 0 lets the system pick one."""
        self._host = host
        self._port = port
        # Not the library's global registry: two servers in one process have figures of their own.
        self._registry = CollectorRegistry()
        self._registry.register(ModelCollector(models))
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
