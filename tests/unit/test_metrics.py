"""Metrics tell the figures that the models count, under documented names."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vecgate_backends.errors import ConfigurationError
from vecgate_server.encoders.base import (
    CrossEncoder,
    Encoder,
    ModelCounters,
    ModelDistributions,
    ModelState,
    ModelStatus,
    Role,
)
from vecgate_server.errors import ModelNotFoundError
from vecgate_server.metrics.endpoint import MetricsEndpoint
from vecgate_server.metrics.models import ModelCollector

COUNTED = ModelCounters(
    texts=7,
    reused=3,
    tokens=50,
    runs=2,
    run_seconds=0.5,
    refused_calls=4,
    worker_restarts=1,
    waiting_tokens={Role.QUERY: 11, Role.DOCUMENT: 12},
    cache_bytes=1024,
    cache_hits=6,
    cache_misses=9,
)
DISTRIBUTIONS = ModelDistributions()
DISTRIBUTIONS.wait_seconds[Role.QUERY].add(0.03)
for texts in (10, 2):
    DISTRIBUTIONS.run_texts.add(texts)
LOADED = {
    "vecgate_model_texts_total": 7,
    "vecgate_model_texts_reused_total": 3,
    "vecgate_model_tokens_total": 50,
    "vecgate_model_runs_total": 2,
    "vecgate_model_run_seconds_total": 0.5,
    "vecgate_model_refused_calls_total": 4,
    "vecgate_model_worker_restarts_total": 1,
    "vecgate_model_ready": 1,
    "vecgate_model_memory_bytes": 2048,
    "vecgate_model_cache_bytes": 1024,
    "vecgate_model_cache_hits_total": 6,
    "vecgate_model_cache_misses_total": 9,
}


class TwoModels:
    """One model that is loaded and one that is not."""

    ready = True

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def encoder(self, name: str | None) -> Encoder:
        raise ModelNotFoundError(f"no model {name}")

    async def cross_encoder(self, name: str) -> CrossEncoder:
        raise ModelNotFoundError(f"no model {name}")

    def statuses(self) -> Sequence[ModelStatus]:
        return [
            ModelStatus(
                "loaded",
                is_default=True,
                state=ModelState.READY,
                memory_bytes=2048,
                counters=COUNTED,
                distributions=DISTRIBUTIONS,
            ),
            ModelStatus("known", is_default=False, state=ModelState.AVAILABLE),
        ]


@pytest.fixture
def endpoint() -> Iterator[MetricsEndpoint]:
    endpoint = MetricsEndpoint("127.0.0.1", 0, [ModelCollector(TwoModels(), queue_tokens=99)])
    endpoint.start()
    yield endpoint
    endpoint.stop()


def read(endpoint: MetricsEndpoint) -> dict[tuple[str, str, str], float]:
    """Every sample by its name, model and role."""
    with urlopen(f"http://{endpoint.address}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels.get("model", ""), sample.labels.get("role", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_figure_of_a_model_is_told(endpoint: MetricsEndpoint) -> None:
    samples = read(endpoint)
    assert {name: samples[name, "loaded", ""] for name in LOADED} == LOADED
    assert {name: samples[name, "known", ""] for name in LOADED} == dict.fromkeys(LOADED, 0)
    assert samples["vecgate_model_waiting_tokens", "loaded", "query"] == 11
    assert samples["vecgate_model_waiting_tokens", "loaded", "document"] == 12
    assert samples["vecgate_model_waiting_tokens_limit", "", ""] == 99
    assert samples["process_resident_memory_bytes", "", ""] > 0


def test_waits_and_runs_are_told_as_histograms(endpoint: MetricsEndpoint) -> None:
    with urlopen(f"http://{endpoint.address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert 'vecgate_model_wait_seconds_bucket{le="0.05",model="loaded",role="query"} 1.0' in lines
    assert 'vecgate_model_wait_seconds_bucket{le="0.025",model="loaded",role="query"} 0.0' in lines
    assert 'vecgate_model_wait_seconds_count{model="loaded",role="document"} 0.0' in lines
    assert 'vecgate_model_run_texts_bucket{le="16.0",model="loaded"} 2.0' in lines
    assert 'vecgate_model_run_texts_sum{model="loaded"} 12.0' in lines


def test_a_closed_endpoint_frees_its_port(endpoint: MetricsEndpoint) -> None:
    port = int(endpoint.address.rpartition(":")[2])
    endpoint.stop()
    endpoint.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_taken_port_is_refused_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoint = MetricsEndpoint("127.0.0.1", port, [])
        with pytest.raises(ConfigurationError, match=f"metrics cannot listen on 127.0.0.1:{port}"):
            endpoint.start()
        endpoint.stop()
