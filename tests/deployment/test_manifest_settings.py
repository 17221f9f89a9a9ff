"""The settings inside the manifests are ones that the server knows, and fit what stands around them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest
import yaml

from deployment.manifests import (
    OVERLAYS,
    REPOSITORY,
    Manifest,
    configuration,
    extended,
    of_kind,
    overlay,
    server_container,
    server_pod,
    variables,
)
from vecgate_server.config import Settings, load_settings
from vecgate_server.config_backends import backend_options

CLOSING_SECONDS = 35
"""What models and the store may take to close, once calls have ended."""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VECGATE_")]:
        monkeypatch.delenv(name)


def settings_of(manifests: tuple[Manifest, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load what the server in the pod would load."""
    path = folder / "vecgate.yaml"
    path.write_text(configuration(manifests))
    for name, value in variables(server_container(manifests)).items():
        monkeypatch.setenv(name, value)
    return load_settings(path)


@pytest.fixture(params=[(name, gpu) for name in OVERLAYS for gpu in (False, True)], ids=str)
def pod(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[tuple[Manifest, ...], Settings]:
    """The manifests of an overlay, on a CPU or with the component gpu, and the settings of its server."""
    name, gpu = request.param
    manifests = extended(name, ("gpu",)) if gpu else overlay(name)
    return manifests, settings_of(manifests, tmp_path, monkeypatch)


def test_the_server_knows_every_setting_and_option(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    _, settings = pod
    for name, backend in settings.backends.items():
        backend_options(name, backend)
    assert not settings.server.allow_insecure


def test_the_ports_are_those_that_the_server_listens_on(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    manifests, settings = pod
    container = server_container(manifests)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    server, telemetry = settings.server, settings.telemetry
    assert (server.port, server.health_port, telemetry.metrics_port) == (
        ports["grpc"],
        ports["health"],
        ports["metrics"],
    )
    assert {server.host, server.health_host, telemetry.metrics_host} == {"0.0.0.0"}
    probes = {name: container[name]["grpc"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {server.health_port}
    assert {name: probe["service"] for name, probe in probes.items()} == {
        "startupProbe": "startup",
        "livenessProbe": "liveness",
        "readinessProbe": "",
    }


def test_the_pod_lives_as_long_as_its_calls_may(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    manifests, settings = pod
    waiting = server_container(manifests)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = settings.server.shutdown_grace_seconds
    assert server_pod(manifests)["terminationGracePeriodSeconds"] >= waiting + grace + CLOSING_SECONDS
    # Others must have heard by then: they look this often.
    readiness = server_container(manifests)["readinessProbe"]
    assert waiting >= readiness["periodSeconds"]


def test_threads_are_as_many_as_the_container_may_use(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    manifests, settings = pod
    cores = int(server_container(manifests)["resources"]["limits"]["cpu"])
    assert settings.encoder.threads * settings.encoder.workers == cores


def test_files_are_written_and_read_where_something_is_mounted(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    manifests, settings = pod
    mounts = server_container(manifests)["volumeMounts"]
    writable = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
    readable = [mount["mountPath"] for mount in mounts if mount.get("readOnly")]
    options = next(iter(settings.backends.values())).options
    for path in filter(None, [options.get("path")]):
        assert any(path.startswith(f"{mount}/") for mount in writable)
    tls = settings.security.tls
    for path in filter(None, [options.get("api_key_file"), tls.certificate, tls.key, settings.security.keys_file]):
        assert any(str(path).startswith(f"{mount}/") for mount in readable)


def test_a_gpu_runs_models_that_a_gpu_can_run(pod: tuple[tuple[Manifest, ...], Settings]) -> None:
    manifests, settings = pod
    gpu = "nvidia.com/gpu" in server_container(manifests)["resources"]["limits"]
    assert settings.encoder.device == ("cuda" if gpu else "cpu")
    # A served form, which is what lies at a path in the image, runs on a CPU alone.
    assert {model.path is None for model in settings.models.available} == {gpu}


def test_the_autoscaler_reads_a_metric_that_the_adapter_offers_and_the_server_has() -> None:
    (scaler,) = of_kind(overlay("qdrant"), "HorizontalPodAutoscaler")
    (metric,) = [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    adapter = yaml.safe_load((REPOSITORY / "deploy/prometheus/adapter.yaml").read_text())
    (rule,) = cast("list[dict[str, str]]", adapter["rules"]["custom"])
    assert rule["seriesQuery"].startswith(f"{metric}{{")
    assert metric in (REPOSITORY / "docs/telemetry.md").read_text()
