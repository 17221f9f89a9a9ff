"""The compose files: what a reader of the specification accepts, and what stands beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployment.manifests import REPOSITORY, Manifest
from vecgate_server.config import load_settings
from vecgate_server.config_backends import backend_options

DEPLOY = REPOSITORY / "deploy"
FILES = [DEPLOY / "compose.yaml", DEPLOY / "qdrant.compose.yaml"]
COMPOSE: Manifest = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Manifest = COMPOSE["services"]


def accepted(*files: Path) -> str:
    """Check files against the schema of the Compose Specification; return what is wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_files_are_compose_files() -> None:
    assert accepted(*FILES) == ""


def test_what_is_no_compose_file_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(yaml.safe_dump({"services": {"vecgate": {"image": "vecgate", "prots": ["1:1"]}}}))
    assert "prots" in accepted(wrong)


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, _ = volume.partition(":")
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
    assert (DEPLOY / SERVICES["vecgate"]["build"]["context"]).resolve() == REPOSITORY


def test_ports_are_open_to_this_machine_alone() -> None:
    published = [
        port
        for file in FILES
        for each in yaml.safe_load(file.read_text())["services"].values()
        for port in each.get("ports", [])
    ]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", ["vecgate", "prometheus", "grafana"])
def test_containers_can_change_nothing_but_their_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_server_knows_its_configuration_and_finds_qdrant(monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES["vecgate"]
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(DEPLOY / "compose.vecgate.yaml")
    for name, backend in settings.backends.items():
        backend_options(name, backend)
    assert settings.backends["qdrant"].options["host"] in SERVICES
    assert [f"127.0.0.1:{settings.server.port}:{settings.server.port}"] == service["ports"]
    assert settings.encoder.threads == service["cpus"]
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds >= settings.server.shutdown_grace_seconds + 35


def test_prometheus_asks_for_the_servers_metrics_and_grafana_asks_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGATE_SERVER__ALLOW_INSECURE", "true")
    settings = load_settings(DEPLOY / "compose.vecgate.yaml")
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in prometheus["scrape_configs"]}
    assert targets["vecgate"] == [f"vecgate:{settings.telemetry.metrics_port}"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in prometheus["rule_files"])
    assert {target.partition(":")[0] for listed in targets.values() for target in listed} <= set(SERVICES)
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/vecgate.yaml").read_text())["providers"]
    folders = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert any(folder.startswith(provider["options"]["path"]) for folder in folders)
