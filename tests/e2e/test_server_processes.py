"""server.workers: several processes on one address, in front of one store (Qdrant, emulated)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from emulators.qdrant_process import qdrant_process
from emulators.qdrant_server import Hang, QdrantEmulator
from faults.server_processes import connections, is_running, server_processes, wait_until
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from vecgate import Client, Record

NO_MODELS: dict[str, Any] = {"models": {"preload": []}}


@pytest.fixture(scope="module")
def qdrant_port() -> Iterator[int]:
    with qdrant_process() as port:
        yield port


def settings(qdrant_port: int, workers: int = 2, **server: Any) -> dict[str, Any]:
    options = {"host": "127.0.0.1", "grpc_port": qdrant_port, "prefix": f"p{os.urandom(4).hex()}-"}
    return NO_MODELS | {
        "backends": {"qdrant": {"kind": "qdrant", "options": options}},
        "server": {"port": 0, "workers": workers, "health_interval_seconds": 0.1} | server,
    }


def port_of(server: Any) -> int:
    return int(server.address.rpartition(":")[2])


def _have_served(server: Any, count: int) -> bool:
    return bool(server.log.read_text().count(" serves\n") == count)


def run_to_its_end(chosen: dict[str, Any], folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = folder / "ends.yaml"
    path.write_text(json.dumps(chosen))
    return subprocess.run(
        [sys.executable, "-m", "vecgate_server", *command, "--config", str(path)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
    )


def test_the_processes_share_connections_and_store_and_end_together(
    qdrant_port: int, start_server: Any, unused_tcp_port_factory: Any
) -> None:
    metrics_port = next(port for _ in range(100) if (port := unused_tcp_port_factory()) < 65_000)
    health_port = unused_tcp_port_factory()
    configured = settings(qdrant_port, health_port=health_port) | {"telemetry": {"metrics_port": metrics_port}}
    server = start_server(configured)
    processes = server_processes(server.process.pid)
    assert len(processes) == 2
    with ExitStack() as open_clients:
        # By a hash: that all of so many fall to one process happens once in a billion times.
        clients = [open_clients.enter_context(Client(server.address)) for _ in range(32)]
        clients[0].create_collection("notes", dimension=2)
        clients[0].upsert("notes", [Record("a", vector=[1.0, 0.0])])
        assert [client.count("notes") for client in clients] == [1] * len(clients)
        shares = [connections(process, port_of(server)) for process in processes]
        assert all(shares)
        assert sum(shares) == len(clients)
        assert connections(server.process.pid, port_of(server)) == 0
    for each in (metrics_port, metrics_port + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{each}/metrics", timeout=10) as answer:
            assert b"process_cpu_seconds_total" in answer.read()
    with grpc.insecure_channel(f"127.0.0.1:{health_port}") as channel:
        stub: Any = HealthStub(channel)  # its stubs lack the methods
        assert stub.Check(HealthCheckRequest(service="startup")).status == HealthCheckResponse.SERVING
    assert server.stop() == 0
    assert not any(map(is_running, processes))


def test_one_that_dies_is_replaced_and_the_client_goes_on(qdrant_port: int, start_server: Any) -> None:
    server = start_server(settings(qdrant_port))
    with ExitStack() as open_clients:
        clients = [open_clients.enter_context(Client(server.address)) for _ in range(8)]
        clients[0].create_collection("notes", dimension=2)
        for serving in (3, 4):
            before = server_processes(server.process.pid)
            killed = min(before)
            os.kill(killed, signal.SIGKILL)
            for _ in range(5):
                assert [client.count("notes") for client in clients] == [0] * len(clients)
            wait_until(partial(_have_served, server, serving), "no other one serves")
            assert f"(pid {killed}) was ended by SIGKILL; another one is started in" in server.log.read_text()
            assert len(server_processes(server.process.pid) - before) == 1
        assert [client.count("notes") for client in clients] == [0] * len(clients)
    assert server.stop() == 0


def test_another_server_cannot_join_the_address(qdrant_port: int, start_server: Any, tmp_path: Path) -> None:
    server = start_server(settings(qdrant_port))
    for workers in (1, 2):
        refused = run_to_its_end(settings(qdrant_port, workers, port=port_of(server)), tmp_path)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"vecgate-server: cannot listen on {server.address}: Address already in use; "
            "server.host and server.port tell where\n"
        )
    assert server.stop() == 0
    alone = start_server(settings(qdrant_port, workers=1, port=port_of(server)))
    assert alone.address == server.address
    refused = run_to_its_end(settings(qdrant_port, port=port_of(alone)), tmp_path)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "Address already in use" in refused.stderr


def test_signals_to_every_process_let_calls_under_way_finish(start_server: Any) -> None:
    emulator = QdrantEmulator()
    server = start_server(settings(emulator.port))
    with Client(server.address) as client, ThreadPoolExecutor(1) as executor:
        client.create_collection("notes", dimension=2)
        emulator.script("Count", Hang())
        counting = executor.submit(client.count, "notes")
        wait_until(lambda: emulator.called("Count"), "the call did not get through")
        # What a terminal does at Ctrl-C, and systemd unless it is told otherwise.
        for process in server_processes(server.process.pid):
            os.kill(process, signal.SIGINT)
            os.kill(process, signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM: draining" in server.log.read_text(), "it does not drain")
        assert server.process.poll() is None
        emulator.release()
        assert counting.result(timeout=20) == 0
    assert server.wait() == 0
    emulator.stop()


def test_a_second_signal_ends_everything_at_once(start_server: Any) -> None:
    emulator = QdrantEmulator()
    server = start_server(settings(emulator.port))
    processes = server_processes(server.process.pid)
    with Client(server.address) as client, ThreadPoolExecutor(1) as executor:
        client.create_collection("notes", dimension=2)
        emulator.script("Count", *[Hang()] * 9)
        counting = executor.submit(client.count, "notes", timeout=5)
        wait_until(lambda: emulator.called("Count"), "the call did not get through")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM: draining" in server.log.read_text(), "it does not drain")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM
        wait_until(lambda: not any(map(is_running, processes)), "a process is left")
        emulator.stop()
        assert counting.exception(timeout=20) is not None


def test_processes_end_with_their_supervisor(qdrant_port: int, start_server: Any) -> None:
    server = start_server(settings(qdrant_port))
    processes = server_processes(server.process.pid)
    server.kill()
    wait_until(lambda: not any(map(is_running, processes)), "a process is left")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port_of(server)))


def test_a_store_that_belongs_to_one_process_is_refused_before_anything_starts(tmp_path: Path) -> None:
    chosen = settings(0) | {"backends": {"mine": {"kind": "faiss"}}}
    for command in ((), ("check-config",)):
        refused = run_to_its_end(chosen, tmp_path, *command)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            "vecgate-server: server.workers: 2 processes cannot serve backend 'mine': what a backend of kind 'faiss' "
            "keeps as it is configured belongs to one process; set workers: 1\n"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["ends.yaml"]


def test_what_keeps_a_process_from_starting_is_told_once(qdrant_port: int, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run_to_its_end(settings(qdrant_port) | {"telemetry": {"metrics_port": port}}, tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    told = [line for line in refused.stderr.splitlines() if line.startswith("vecgate-server: ")]
    sentence = f"vecgate-server: metrics cannot listen on 127.0.0.1:{port}: Address already in use; "
    assert told == [sentence + "telemetry.metrics_host and telemetry.metrics_port tell where"]
