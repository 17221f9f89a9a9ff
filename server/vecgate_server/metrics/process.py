"""Figures of the server as a whole: its version, its health, its event loop, its certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from time import perf_counter

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vecgate_backends.distribution import Distribution
from vecgate_server.health import BACKEND_PREFIX
from vecgate_server.metrics.families import histogram

LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LAG_INTERVAL_SECONDS = 0.25


class EventLoopLag(Collector):
    """How much later than asked the event loop comes back to what waits for it, looked at four times a second."""

    def __init__(self) -> None:
        self._seconds = Distribution(LAG_BOUNDS)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            asked = perf_counter()
            await asyncio.sleep(LAG_INTERVAL_SECONDS)
            self._seconds.add(max(0.0, perf_counter() - asked - LAG_INTERVAL_SECONDS))

    @override
    def collect(self) -> Iterator[Metric]:
        yield histogram(
            "vecgate_event_loop_lag_seconds",
            "How much later than asked the event loop woke up.",
            [],
            [((), self._seconds)],
        )


class ServerCollector(Collector):
    """Version, health by service, until when the certificate is valid, and whether changed files are in use."""

    def __init__(
        self,
        serving: Callable[[], Mapping[str, bool]],
        certificate_expiry: Callable[[], float | None] | None = None,
        files_usable: Callable[[], Mapping[str, bool]] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            serving: tells whether each service of grpc.health.v1 is SERVING.
            certificate_expiry: tells when the certificate expires, in seconds since the epoch; None where there is none.
            files_usable: tells whether what lies in the files of each setting of security is used.
        """
        self._serving = serving
        self._files_usable = files_usable or dict
        self._certificate_expiry = certificate_expiry or (lambda: None)

    @override
    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("vecgate_build_info", "1, with the version of the server.", labels=["version"])
        build.add_metric([version("vecgate")], 1)
        yield build
        health = GaugeMetricFamily(
            "vecgate_health_serving", "1 if a service of grpc.health.v1 is SERVING.", labels=["service"]
        )
        backends = GaugeMetricFamily("vecgate_backend_healthy", "1 if a backend works.", labels=["backend"])
        for service, serving in self._serving().items():
            health.add_metric([service], serving)
            if service.startswith(BACKEND_PREFIX):
                backends.add_metric([service.removeprefix(BACKEND_PREFIX)], serving)
        yield health
        yield backends
        yield from self._security()

    def _security(self) -> Iterator[Metric]:
        usable = self._files_usable()
        if usable:
            files = GaugeMetricFamily(
                "vecgate_security_files_usable",
                "1 if what lies in the files of a setting is used, 0 if they changed and cannot be.",
                labels=["setting"],
            )
            for setting, used in usable.items():
                files.add_metric([setting], used)
            yield files
        expiry = self._certificate_expiry()
        if expiry is not None:
            yield GaugeMetricFamily(
                "vecgate_tls_certificate_expiry_timestamp_seconds",
                "When the certificate of the server expires.",
                value=expiry,
            )
