"""Figures of the backends: what they are asked, and what they tell of themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vecgate_backends.contract import Figure
from vecgate_backends.distribution import Distribution
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.metrics.families import histogram

log = logging.getLogger(__name__)


class BackendCollector(Collector):
    """Operations with the labels "backend" and "operation"; the figures of a backend of kind k as vecgate_k_name, with the label "backend"."""

    def __init__(self, backends: Sequence[ConfiguredBackend]) -> None:
        self._backends = backends

    @override
    def collect(self) -> Iterator[Metric]:
        meters = [each.meter for each in self._backends]
        yield histogram(
            "vecgate_backend_seconds",
            "Time of an operation of a backend.",
            ["backend", "operation"],
            (((meter.backend, name), seconds) for meter in meters for name, seconds in meter.seconds.items()),
        )
        errors = CounterMetricFamily(
            "vecgate_backend_errors",
            "Operations of a backend that failed.",
            labels=["backend", "operation", "code"],
        )
        for meter in meters:
            for (operation, code), count in meter.errors.copy().items():
                errors.add_metric([meter.backend, operation, code], count)
        yield errors
        yield from self._own_figures()

    def _own_figures(self) -> Iterator[Metric]:
        told: dict[str, list[tuple[str, Figure]]] = {}
        for each in self._backends:
            try:
                figures = each.figures()
            except Exception:  # one backend's own bug must not hide all other figures
                log.exception("backend %s cannot tell its figures", each.name)
                continue
            for figure in figures:
                name = f"vecgate_{each.kind.replace('-', '_')}_{figure.name}"
                told.setdefault(name, []).append((each.name, figure))
        for name, figures_of_name in told.items():
            yield _family(name, figures_of_name)


def _family(name: str, told: Sequence[tuple[str, Figure]]) -> Metric:
    _, first = told[0]
    labels = ["backend", *first.labels]
    if isinstance(first.value, Distribution):
        return histogram(
            name,
            first.documentation,
            labels,
            (
                ((backend, *figure.labels.values()), figure.value)
                for backend, figure in told
                if isinstance(figure.value, Distribution)
            ),
        )
    family = GaugeMetricFamily(name, first.documentation, labels=labels)
    for backend, figure in told:
        if not isinstance(figure.value, Distribution):
            family.add_metric([backend, *figure.labels.values()], figure.value)
    return family
