"""Figures of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from vecgate_server.encoders.base import ModelCounters, Models, ModelState, ModelStatus, Role
from vecgate_server.metrics.families import histogram


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
    _counted("cache_hits", "Texts whose vector the cache had.", lambda counters: counters.cache_hits),
    _counted("cache_misses", "Texts whose vector the cache had not.", lambda counters: counters.cache_misses),
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

    def __init__(self, models: Models, *, queue_tokens: int) -> None:
        """Read nothing yet; `queue_tokens`: how many tokens of a role may wait for a model."""
        self._models = models
        self._queue_tokens = queue_tokens

    @override
    def collect(self) -> Iterator[Metric]:
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
            for role in Role:
                waiting.add_metric([status.name, role.value], status.counters.waiting_tokens.get(role, 0))
        yield waiting
        yield GaugeMetricFamily(
            "vecgate_model_waiting_tokens_limit",
            "Tokens of a role that may wait for a model.",
            value=self._queue_tokens,
        )
        yield histogram(
            "vecgate_model_wait_seconds",
            "Time that calls waited for the model.",
            ["model", "role"],
            (
                ((status.name, role.value), seconds)
                for status in statuses
                for role, seconds in status.distributions.wait_seconds.items()
            ),
        )
        yield histogram(
            "vecgate_model_run_texts",
            "Texts of a forward pass.",
            ["model"],
            (((status.name,), status.distributions.run_texts) for status in statuses),
        )
