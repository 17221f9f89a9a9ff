"""When a supervisor gives up, and when it does not: in this process, with real server processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from faults.held_worker import until
from faults.server_processes import server_processes

from vecgate_server.config import Settings
from vecgate_server.listening import MAIN_SETTINGS, reserved_port
from vecgate_server.processes import place, supervisor
from vecgate_server.processes.place import ServerStartError
from vecgate_server.processes.shares import SharedPorts
from vecgate_server.processes.supervisor import Supervisor


@pytest.fixture
def metrics_port(unused_tcp_port_factory: Any) -> int:
    """The first of two free ports next to each other."""
    for _ in range(100):
        port: int = unused_tcp_port_factory()
        with socket.socket() as other:
            try:
                other.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
        return port
    raise AssertionError("no two ports are free")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "MOST_FAILURES", 2)


@asynccontextmanager
async def supervised(metrics_port: int) -> AsyncIterator[tuple[asyncio.Task[None], asyncio.Event]]:
    """Run two processes; they need nothing but their ports, since Qdrant may be away."""
    settings = Settings.model_validate(
        {
            "server": {"port": 0, "workers": 2},
            "models": {"preload": []},
            "backends": {"qdrant": {"kind": "qdrant", "options": {"host": "127.0.0.1", "grpc_port": 1}}},
            "telemetry": {"metrics_port": metrics_port},
        }
    )
    stopping, serving = asyncio.Event(), asyncio.Event()
    with reserved_port("127.0.0.1", 0, MAIN_SETTINGS) as port:
        running = asyncio.create_task(Supervisor(settings, SharedPorts(port)).run(stopping, serving.set))
        try:
            async with asyncio.timeout(60):
                await serving.wait()
            yield running, stopping
        finally:
            stopping.set()
            await asyncio.gather(running, return_exceptions=True)
    assert not server_processes(os.getpid())


@asynccontextmanager
async def occupied(port: int) -> AsyncIterator[None]:
    """Take a port as soon as it is free."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                taken.bind(("127.0.0.1", port))
                taken.listen()
                break
            except OSError:
                await asyncio.sleep(0.001)
        yield


async def test_it_ends_with_the_reason_when_nobody_serves_and_nobody_can(metrics_port: int) -> None:
    async with supervised(metrics_port) as (running, _):
        for process in server_processes(os.getpid()):
            os.kill(process, signal.SIGKILL)
        async with occupied(metrics_port), occupied(metrics_port + 1):
            with pytest.raises(ServerStartError, match="metrics cannot listen") as given_up:
                await running
            assert given_up.value.code == 1


async def test_it_goes_on_trying_while_another_process_serves(metrics_port: int) -> None:
    async with supervised(metrics_port) as (running, stopping):
        before = server_processes(os.getpid())
        os.kill(min(before), signal.SIGKILL)
        async with occupied(await _freed(metrics_port)):
            # Three attempts, one more than it makes when nobody serves.
            for _ in range(3):
                await _next_attempt(before)
            assert not running.done()
        stopping.set()
        await running


async def _freed(metrics_port: int) -> int:
    """Return which of the two ports the process that was killed had: the one where nobody listens."""
    while True:
        for port in (metrics_port, metrics_port + 1):
            with socket.socket() as probe:
                probe.setblocking(False)
                try:
                    await asyncio.get_running_loop().sock_connect(probe, ("127.0.0.1", port))
                except ConnectionRefusedError:
                    return port


async def _next_attempt(seen: set[int]) -> None:
    """Wait for a process that was not there before, and note it."""
    await until(lambda: bool(server_processes(os.getpid()) - seen))
    seen |= server_processes(os.getpid())
