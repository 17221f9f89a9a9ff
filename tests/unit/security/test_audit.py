"""The audit log under a flood."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import grpc
import pytest

from vecgate.v1.collection_pb2 import DeleteCollectionRequest
from vecgate_backends.errors import ConfigurationError
from vecgate_server.app import Server
from vecgate_server.calls.caller import Caller
from vecgate_server.calls.observer import EndedCall
from vecgate_server.config import Settings
from vecgate_server.security.audit import AUDIT, REFUSALS_AT_ONCE, REFUSALS_PER_SECOND, AuditLog

REFUSED = EndedCall(
    "Search", "id", "ipv4:10.0.0.1:1", Caller(), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", 0.0
)
DELETED = EndedCall(
    "DeleteCollection",
    "id",
    "ipv4:10.0.0.1:1",
    Caller("me"),
    grpc.StatusCode.OK,
    "",
    0.0,
    DeleteCollectionRequest(name="n" * 10_000),
)


def test_a_flood_of_refused_calls_is_counted_instead_of_written(tmp_path: Path) -> None:
    now = [0.0]
    audit = AuditLog(tmp_path / "audit.log", lambda: now[0])
    audit.open()
    for _ in range(REFUSALS_AT_ONCE + 7):
        audit.ended(REFUSED)
    audit.ended(DELETED)
    now[0] += 1 / REFUSALS_PER_SECOND
    audit.ended(REFUSED)
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert len(lines) == REFUSALS_AT_ONCE + 2
    assert (lines[-2]["method"], len(lines[-2]["collection"])) == ("DeleteCollection", 64)
    assert lines[-1]["refused_calls_not_written"] == "7"


def test_a_name_cannot_begin_a_line_of_its_own(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit.log")
    audit.open()
    forged = DeleteCollectionRequest(name='x"}\n{"outcome": "OK\u2028')
    audit.ended(EndedCall("DeleteCollection", "id", "peer", Caller(), grpc.StatusCode.NOT_FOUND, "", 0.0, forged))
    audit.close()
    (line,) = (tmp_path / "audit.log").read_text().splitlines()
    assert json.loads(line)["collection"] == forged.name


def test_a_file_that_cannot_be_opened_again_is_told_and_no_call_fails_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").mkdir()
    audit = AuditLog(tmp_path / "logs" / "audit.log")
    audit.open()
    (tmp_path / "logs").rename(tmp_path / "away")
    audit.ended(DELETED)
    assert "cannot be written" in caplog.text
    (tmp_path / "logs").mkdir()
    audit.ended(DELETED)
    audit.close()
    assert (tmp_path / "logs" / "audit.log").read_text().count("\n") == 1


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"security.audit_file: .*No such file"):
        AuditLog(tmp_path / "nowhere" / "audit.log").open()


async def test_a_server_that_cannot_start_leaves_no_log_open(tmp_path: Path) -> None:
    settings = {
        "server": {"port": 0},
        "models": {"preload": []},
        "backends": {"memory": {"kind": "memory"}},
        "security": {"audit_file": str(tmp_path / "audit.log")},
    }
    Server(Settings.model_validate(settings))
    assert not (tmp_path / "audit.log").exists()
    metrics = {"telemetry": {"metrics_host": "192.0.2.1", "metrics_port": 0}}  # of nobody: RFC 5737
    server = Server(Settings.model_validate(settings | metrics))
    with pytest.raises(ConfigurationError, match="metrics cannot listen"):
        await server.start()
    assert not logging.getLogger(AUDIT).handlers
