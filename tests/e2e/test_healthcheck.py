"""The command vecgate-server healthcheck, on the health port of real servers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vecgate_server.command import main

MEMORY = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Settings of a server with a health port, and the same in a file."""
    server = {"port": 0, "health_host": "0.0.0.0", "health_port": free_port(), "health_interval_seconds": 0.1}
    document = MEMORY | {"server": server}
    (tmp_path / "asked.yaml").write_text(json.dumps(document))
    return document


def ask(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "asked.yaml"), "healthcheck", *arguments])


def test_a_server_that_serves_is_told_on_one_line(settings: dict[str, Any], start_server: Any, tmp_path: Path) -> None:
    start_server(settings)
    asked = ask(tmp_path)
    port = settings["server"]["health_port"]
    assert (asked.exit_code, asked.output) == (0, f"127.0.0.1:{port}: SERVING\n")
    assert ask(tmp_path, "--service", "backend.memory").exit_code == 0


def test_a_server_whose_backends_are_all_away_is_not_healthy_but_alive(
    settings: dict[str, Any], start_server: Any, tmp_path: Path
) -> None:
    away = {"qdrant": {"kind": "qdrant", "options": {"host": "127.0.0.1", "grpc_port": free_port()}}}
    start_server(settings | {"backends": away})
    asked = ask(tmp_path)
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr.endswith(": NOT_SERVING\n")
    assert ask(tmp_path, "--service", "liveness").exit_code == 0


def test_a_service_that_does_not_exist_is_not_healthy(
    settings: dict[str, Any], start_server: Any, tmp_path: Path
) -> None:
    start_server(settings)
    asked = ask(tmp_path, "--service", "backend.other")
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr.endswith("tells no health of 'backend.other': NOT_FOUND\n")


def test_where_nobody_listens_the_exit_code_is_1(settings: dict[str, Any], tmp_path: Path) -> None:
    asked = ask(tmp_path, "--timeout", "5")
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr.endswith("tells no health of '': UNAVAILABLE\n")


def test_without_a_health_port_there_is_nothing_to_ask(tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text(json.dumps(MEMORY))
    asked = ask(tmp_path)
    assert (asked.exit_code, asked.stdout) == (2, "")
    assert asked.stderr == (
        "vecgate-server: healthcheck asks server.health_port, and it is not set; give it a port that is not 0\n"
    )


def test_wrong_settings_are_told_as_to_the_server(tmp_path: Path) -> None:
    (tmp_path / "asked.yaml").write_text("server: {prot: 1}")
    assert ask(tmp_path).exit_code == 2
