"""Figures of the server as a whole, and those that backends tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest

from vecgate_backends.contract import Figure
from vecgate_backends.distribution import Distribution
from vecgate_backends.memory import MemoryBackend
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.metrics.backends import BackendCollector
from vecgate_server.metrics.process import ServerCollector


class Telling(MemoryBackend):
    """Tells a gauge with a label and a distribution."""

    def figures(self) -> Sequence[Figure]:
        seconds = Distribution((1.0,))
        seconds.add(0.5)
        return [
            Figure("shelves", "Shelves.", 3, {"room": "north"}),
            Figure("shelves", "Shelves.", 4, {"room": "south"}),
            Figure("walk_seconds", "Walks.", seconds),
        ]


class Broken(MemoryBackend):
    """Cannot tell."""

    def figures(self) -> Sequence[Figure]:
        raise ZeroDivisionError


def lines(collector: ServerCollector | BackendCollector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode().splitlines()


def configured(name: str, backend: type[MemoryBackend], kind: str = "old-shelf") -> ConfiguredBackend:
    return ConfiguredBackend(name, kind, backend(MemoryBackend.Options()))


def test_the_end_of_the_certificate_is_told_where_there_is_one() -> None:
    name = "vecgate_tls_certificate_expiry_timestamp_seconds"
    assert f"{name} 1.7e+09" in lines(ServerCollector(dict, lambda: 1.7e9))
    assert not any(name in line for line in lines(ServerCollector(dict)))


def test_files_that_changed_and_cannot_be_used_are_told_where_there_are_some() -> None:
    told = lines(ServerCollector(dict, files_usable=lambda: {"security.tls": True, "security.keys_file": False}))
    assert 'vecgate_security_files_usable{setting="security.tls"} 1.0' in told
    assert 'vecgate_security_files_usable{setting="security.keys_file"} 0.0' in told
    assert not any("files_usable" in line for line in lines(ServerCollector(dict)))


def test_what_backends_of_one_kind_tell_is_one_metric(caplog: pytest.LogCaptureFixture) -> None:
    told = lines(BackendCollector([configured("one", Telling), configured("two", Telling), configured("bad", Broken)]))
    assert told.count("# TYPE vecgate_old_shelf_shelves gauge") == 1
    assert 'vecgate_old_shelf_shelves{backend="one",room="north"} 3.0' in told
    assert 'vecgate_old_shelf_shelves{backend="two",room="south"} 4.0' in told
    assert 'vecgate_old_shelf_walk_seconds_bucket{backend="two",le="1.0"} 1.0' in told
    assert 'vecgate_old_shelf_walk_seconds_count{backend="one"} 1.0' in told


def test_a_backend_that_cannot_tell_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    told = lines(BackendCollector([configured("bad", Broken), configured("one", Telling)]))
    assert 'vecgate_old_shelf_walk_seconds_count{backend="one"} 1.0' in told
    assert 'vecgate_backend_seconds_count{backend="bad",operation="search"} 0.0' in told
    assert "backend bad cannot tell its figures" in caplog.text


def test_a_backend_without_figures_tells_those_of_its_operations() -> None:
    told = lines(BackendCollector([configured("plain", MemoryBackend)]))
    assert 'vecgate_backend_seconds_count{backend="plain",operation="upsert"} 0.0' in told
