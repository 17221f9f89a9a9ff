"""What each of several server processes is given of the settings, and which backends may have several."""

from __future__ import annotations

import os
import pickle
from typing import Any

import pytest

from vecgate_server.config import Settings
from vecgate_server.config_backends import refuse_unshared_backends
from vecgate_server.config_faults import InvalidSettingsError
from vecgate_server.processes.shares import SharedPorts, settings_of_place


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"server": {"workers": 4}} | sections)


def test_processes_have_the_port_in_common_and_a_port_of_metrics_each() -> None:
    whole = settings(telemetry={"metrics_port": 9464})
    places = [settings_of_place(whole, number, SharedPorts(50051)) for number in range(1, 5)]
    assert [place.server.port for place in places] == [50051] * 4
    assert [place.telemetry.metrics_port for place in places] == [9464, 9465, 9466, 9467]


@pytest.mark.parametrize("port", [None, 0])
def test_metrics_that_are_off_or_anywhere_stay_so(port: int | None) -> None:
    assert (
        settings_of_place(settings(telemetry={"metrics_port": port}), 3, SharedPorts(1)).telemetry.metrics_port == port
    )


def test_the_cores_are_divided_unless_the_settings_say_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert settings_of_place(settings(), 1, SharedPorts(1)).encoder.threads == 4
    assert settings_of_place(settings(encoder={"workers": 2}), 1, SharedPorts(1)).encoder.threads == 2
    assert settings_of_place(settings(encoder={"workers": 64}), 1, SharedPorts(1)).encoder.threads == 1
    assert settings_of_place(settings(encoder={"threads": 7}), 1, SharedPorts(1)).encoder.threads == 7


def test_settings_reach_a_process_as_they_are_whatever_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    place = settings_of_place(settings(), 2, SharedPorts(1234))
    monkeypatch.setenv("VECGATE_SERVER__PORT", "1")
    assert pickle.loads(pickle.dumps(place)) == place
    assert place.server.port == 1234


def test_metrics_without_a_port_for_each_process_are_refused() -> None:
    with pytest.raises(ValueError, match=r"65532 is the highest that does"):
        settings(telemetry={"metrics_port": 65_533})
    assert settings(telemetry={"metrics_port": 65_532}).telemetry.metrics_port == 65_532


@pytest.mark.parametrize(
    ("kind", "options", "shared"),
    [
        ("faiss", {}, False),
        ("memory", {}, False),
        ("qdrant", {"path": ":memory:"}, False),
        ("qdrant", {"path": "./somewhere"}, False),
        ("qdrant", {"host": "127.0.0.1"}, True),
        ("pinecone", {"api_key": "secret"}, True),
    ],
)
def test_a_backend_says_itself_whether_several_processes_may_serve_it(
    kind: str, options: dict[str, Any], shared: bool
) -> None:
    both = {"qdrant": {"kind": "qdrant"}, "other": {"kind": kind, "options": options}}
    refuse_unshared_backends(Settings.model_validate({"backends": both}))
    if shared:
        refuse_unshared_backends(settings(backends=both))
        return
    with pytest.raises(InvalidSettingsError, match=r"server\.workers: 4 processes cannot serve backend 'other'"):
        refuse_unshared_backends(settings(backends=both))
