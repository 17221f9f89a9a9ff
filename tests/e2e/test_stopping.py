"""SIGTERM at any time ends a server with exit code 0 and leaves nothing behind; a second signal ends it at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from streaming.call import StreamCall
from streaming.serving import NOTES

from vecgate.v1.encode_pb2 import ROLE_DOCUMENT, EncodeRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

BACKEND_THAT_DOES_NOT_CLOSE = """
import asyncio
from vecgate_backends.memory import MemoryBackend
from vecgate_server import app, config

async def close(_):
    await asyncio.Event().wait()

MemoryBackend.close = close
app.CLOSING_SECONDS = 0.5
settings = config.load_settings(config.Path("vecgate.yaml"))
asyncio.run(app.serve(settings, app.models_of(settings), lambda address: print(address, flush=True)))
"""
MEMORY: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVING = HealthCheckResponse.SERVING


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class StartingServer:
    """A server process that loads a model, not waited for."""

    def __init__(self, folder: Path, graphs: Path) -> None:
        self.port, self.health_port = free_port(), free_port()
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        settings = {
            "server": {"port": self.port, "health_port": self.health_port},
            "encoder": {"graph_directory": str(graphs)},
        }
        (folder / "vecgate.yaml").write_text(json.dumps(settings))
        self._log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vecgate_server", "--config", "vecgate.yaml"],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(self.temporary)},
            stderr=self._log,
            stdout=self._log,
        )

    def children(self) -> list[int]:
        return children_of(self.process.pid)

    def terminated(self) -> tuple[int, list[int]]:
        """Send SIGTERM; return the exit code, and the processes it had started."""
        children = self.children()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30), children

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@pytest.fixture
def starting(tmp_path: Path, graph_directory: Path) -> Iterator[StartingServer]:
    server = StartingServer(tmp_path, graph_directory)
    yield server
    server.close()


def children_of(process: int) -> list[int]:
    """Return the processes that the main thread of a process started."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.model
@pytest.mark.parametrize("moment", ["its worker was started", "its health port answers"])
def test_sigterm_during_the_start_ends_it_with_exit_code_0(moment: str, starting: StartingServer) -> None:
    if moment == "its worker was started":
        wait_until(starting.children)
    else:
        wait_until(lambda: listens(starting.health_port))
    code, children = starting.terminated()
    assert code == 0
    assert children
    wait_until(lambda: not any(map(running, children)))
    assert not listens(starting.port)
    assert not listens(starting.health_port)
    # ONNX Runtime leaves a file, of always the same name.
    assert {each.name for each in starting.temporary.iterdir()} <= {".ses"}


async def test_watches_and_idle_streams_hold_up_no_stop(start_server: Any) -> None:
    port = free_port()
    server = start_server(MEMORY | {"server": {"port": 0, "health_port": port}})
    async with (
        grpc.aio.insecure_channel(server.address) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as plain,
    ):
        health: Any = HealthStub
        watches = [health(each).Watch(HealthCheckRequest(service="")) for each in (channel, plain)]
        lives = health(plain).Watch(HealthCheckRequest(service="liveness"))
        assert [(await watch.read()).status for watch in (*watches, lives)] == [SERVING] * 3
        stub = VectorSearchServiceStub(channel)
        await stub.CreateCollection(NOTES)
        idle = StreamCall(stub)
        await idle.open("notes")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 2
        assert await lives.read() == grpc.aio.EOF
        assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - began < 10
    assert not listens(port)


@pytest.mark.model
async def test_a_server_that_drains_is_alive_and_a_second_signal_ends_it_at_once(start_server: Any) -> None:
    port = free_port()
    server = start_server({"server": {"port": 0, "health_port": port, "shutdown_grace_seconds": 60}})
    texts = [f"{number} " + "a long text " * 60 for number in range(1_000)]  # half a minute of work
    async with (
        grpc.aio.insecure_channel(server.address) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as plain,
    ):
        health: Any = HealthStub(plain)
        call = asyncio.ensure_future(
            VectorSearchServiceStub(channel).Encode(EncodeRequest(texts=texts, role=ROLE_DOCUMENT))
        )
        await asyncio.sleep(0.5)
        workers = children_of(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        watch = health.Watch(HealthCheckRequest(service=""))
        while (await watch.read()).status != NOT_SERVING:
            pass
        for service in ("liveness", "startup"):
            assert (await health.Check(HealthCheckRequest(service=service))).status == SERVING
        assert not call.done()
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert workers
    wait_until(lambda: not any(map(running, workers)))


def test_a_backend_that_does_not_close_holds_up_no_stop(tmp_path: Path) -> None:
    settings = MEMORY | {"server": {"port": 0, "shutdown_grace_seconds": 0}}
    (tmp_path / "vecgate.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-c", BACKEND_THAT_DOES_NOT_CLOSE]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline().startswith("127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        _, told = server.communicate(timeout=30)
    assert server.returncode == 1
    assert "models or backends did not close within 0.5 s" in told
