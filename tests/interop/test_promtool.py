"""Prometheus's own tool on what a server tells, and on the alerts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.expressions import ALERTS, alerts
from monitoring.scrape import metrics_address, scrape

REPOSITORY = Path(__file__).parents[2]
CASES = Path(__file__).with_name("alerts.test.yaml")
pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def promtool() -> str:
    """The tool: on the path, or taken out of Debian's package."""
    fetched = REPOSITORY / ".promtool/usr/bin/promtool"
    found = shutil.which("promtool") or (str(fetched) if fetched.exists() else None)
    if found is None:
        pytest.skip("promtool is not there: make test-interop")
    return found


def told_by(*command: str | Path, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_finds_the_alerts(promtool: str) -> None:
    assert "1 rule files found" in told_by(promtool, "check", "config", REPOSITORY / "deploy/prometheus/prometheus.yml")


def test_what_a_server_tells_is_clean(promtool: str, start_server: Any) -> None:
    server = start_server(
        {
            "backends": {"faiss": {"kind": "faiss", "options": {"path": "store"}}, "memory": {"kind": "memory"}},
            "models": {"preload": []},
            "telemetry": {"metrics_port": 0},
        }
    )
    told = scrape(metrics_address(server.log))
    assert told_by(promtool, "check", "metrics", given=told.text) == ""


def test_the_alerts_are_valid(promtool: str) -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in told_by(promtool, "check", "rules", ALERTS)


def test_the_alerts_fire_when_they_should_and_not_before(promtool: str) -> None:
    assert "SUCCESS" in told_by(promtool, "test", "rules", CASES)


def test_there_is_a_case_for_every_alert() -> None:
    text = yaml.safe_dump(yaml.safe_load(CASES.read_text())["tests"])
    assert [rule["alert"] for rule in alerts() if f'{{alertname="{rule["alert"]}"' not in text] == []
