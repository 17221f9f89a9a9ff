"""Servers on Qdrant (emulated): what they answer over the wire, and that they keep nothing of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from emulators.qdrant_server import QdrantEmulator, Refuse

from vecgate import Client, Record
from vecgate.errors import UnavailableError

KEY = "a-key-that-nobody-guesses"
KEY_VARIABLE = "VECGATE_BACKENDS__QDRANT__OPTIONS__API_KEY"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantEmulator]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    server = QdrantEmulator(api_key=KEY)
    yield server
    server.stop()


def settings(emulator: QdrantEmulator) -> dict[str, Any]:
    options = {"host": "127.0.0.1", "grpc_port": emulator.port, "attempts": 1}
    return {"models": {"preload": []}, "backends": {"qdrant": {"kind": "qdrant", "options": options}}}


def test_two_servers_in_front_of_one_qdrant_are_one(emulator: QdrantEmulator, start_server: Any) -> None:
    one, two = (start_server(settings(emulator)) for _ in range(2))
    with Client(one.address) as first, Client(two.address) as second:
        first.create_collection("notes", dimension=2, metric="euclidean")
        rows = [
            Record("near", "words", vector=[3.0, 4.5], metadata={"year": 2**53 + 1}),
            Record("far", vector=[9.0, 9.0], metadata={"year": 2**53}),
        ]
        token = first.upsert("notes", rows).consistency_token
        found = second.search("notes", [3.0, 4.0], filter=f"year > {2**53}", consistency_token=token)
        assert [(match.id, match.text, match.metadata) for match in found.matches] == [
            ("near", "words", {"year": 2**53 + 1})
        ]
        assert found.matches[0].score == -0.5
        second.delete("notes", ids=["near"])
        assert first.count("notes") == 1
        assert one.stop() == 0
    with Client(start_server(settings(emulator)).address) as third:
        assert third.get_collection("notes").collection.metric == "euclidean"
        assert third.count("notes") == 1


def test_the_caller_learns_that_qdrant_is_away_and_the_log_has_no_key(
    emulator: QdrantEmulator, start_server: Any
) -> None:
    server = start_server(settings(emulator))
    with Client(server.address) as client:
        client.create_collection("notes", dimension=2)
        emulator.script("Upsert", *[Refuse(grpc.StatusCode.UNAVAILABLE, "restarting")] * 20)
        with pytest.raises(UnavailableError) as caught:
            client.upsert("notes", [Record("a", vector=[1.0, 0.0])], timeout=3)
        assert caught.value.reason == "BACKEND_UNAVAILABLE"
    emulator.api_key = "another"
    with Client(server.address) as client, pytest.raises(UnavailableError, match="credentials"):
        client.search("notes", [1.0, 0.0], timeout=3)
    server.stop()
    assert KEY not in server.log.read_text()


def test_what_qdrant_did_not_take_while_it_was_away_is_sent_again(emulator: QdrantEmulator, start_server: Any) -> None:
    in_parts = settings(emulator)
    in_parts["backends"]["qdrant"]["options"]["batch_size"] = 2
    server = start_server(in_parts)
    away = Refuse(grpc.StatusCode.UNAVAILABLE, "restarting")
    with Client(server.address) as client:
        client.create_collection("notes", dimension=2)
        emulator.script("Upsert", None, away)
        result = client.upsert_many("notes", [Record(f"r{number}", vector=[1.0, 0.0]) for number in range(6)])
        assert result.failures == ()
        assert result.stored == 6
        assert client.count("notes") == 6


def test_the_key_is_not_printed_with_the_settings(emulator: QdrantEmulator, tmp_path: Path) -> None:
    file = tmp_path / "vecgate.yaml"
    file.write_text("backends: {qdrant: {kind: qdrant, options: {host: q.example}}}")
    printed = subprocess.run(
        [sys.executable, "-m", "vecgate_server", "check-config", "--config", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert "host: q.example" in printed
    assert KEY not in printed
