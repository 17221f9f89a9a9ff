"""Figures in the form that Prometheus's library writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily

from vecgate_backends.distribution import Distribution


def histogram(
    name: str,
    documentation: str,
    labels: Sequence[str],
    distributions: Iterable[tuple[Sequence[str], Distribution]],
) -> HistogramMetricFamily:
    """Write distributions, each with the values of its labels, as one histogram."""
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, distribution in distributions:
        counts, total = distribution.read()
        bounds = [*(str(float(bound)) for bound in distribution.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), total)
    return family
