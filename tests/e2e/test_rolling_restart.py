"""Two replicas in front of one Qdrant (emulated) are replaced one after the other while an application works: it notices nothing.

VECGATE_TEST_ROLLS says how often each of them is replaced; `make test-rolling` does it ten times, also with two server processes in each, and kills them too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from emulators.qdrant_process import qdrant_process
from faults.application import Application

from vecgate import Client

ROLLS = int(os.environ.get("VECGATE_TEST_ROLLS", "1"))
SECONDS_BETWEEN = 3.0
"""More than a client may wait before it tries a lost address again (channel.MAX_RECONNECT_MS and its jitter): a replica that serves again is of no use to those
that do not know it, when the other one stops."""
WORKERS = [1] if ROLLS == 1 else [1, 2]

log = logging.getLogger(__name__)


class Replicas:
    """Two servers on two ports, in front of one store."""

    def __init__(self, start_server: Any, qdrant_port: int, ports: list[int], workers: int) -> None:
        options = {"host": "127.0.0.1", "grpc_port": qdrant_port}
        self._settings = {
            "models": {"preload": []},
            "backends": {"qdrant": {"kind": "qdrant", "options": options}},
        }
        self._workers = workers
        self._start_server = start_server
        self._ports = ports
        self._servers = {port: self._started(port) for port in ports}
        self.target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def roll(self, *, kill: bool = False) -> None:
        """Replace each of them, the next one once the one before serves again."""
        for port in self._ports:
            time.sleep(SECONDS_BETWEEN)
            if kill:
                self._servers[port].kill()
            else:
                assert self._servers[port].stop() == 0
            self._servers[port] = self._started(port)
            with Client(f"127.0.0.1:{port}") as client:
                client.wait_ready()
        time.sleep(SECONDS_BETWEEN)

    def _started(self, port: int) -> Any:
        server = {"port": port, "workers": self._workers, "health_interval_seconds": 0.1}
        return self._start_server(self._settings | {"server": server})


@pytest.fixture
def qdrant_port() -> Iterator[int]:
    with qdrant_process() as port:
        yield port


@pytest.fixture
def ports(unused_tcp_port_factory: Any) -> list[int]:
    return [unused_tcp_port_factory(), unused_tcp_port_factory()]


@pytest.mark.timeout(120 + 60 * ROLLS)
@pytest.mark.parametrize("workers", WORKERS)
def test_replicas_that_are_stopped_in_turn_fail_no_call(
    workers: int, qdrant_port: int, ports: list[int], start_server: Any
) -> None:
    replicas = Replicas(start_server, qdrant_port, ports, workers)
    application = Application(replicas.target, "notes")
    application.prepare()
    with application:
        for _ in range(ROLLS):
            replicas.roll()
    for name, tally in application.tallies.items():
        log.info("%s: %d calls, the longest %.2f s", name, tally.calls, tally.longest)
    assert application.failures == {}
    assert all(tally.calls for tally in application.tallies.values())
    application.check()


@pytest.mark.skipif(ROLLS == 1, reason="takes a while: make test-rolling")
@pytest.mark.timeout(120 + 60 * ROLLS)
def test_replicas_that_are_killed_in_turn_fail_no_call_that_may_be_repeated(
    qdrant_port: int, ports: list[int], start_server: Any
) -> None:
    replicas = Replicas(start_server, qdrant_port, ports, workers=1)
    application = Application(replicas.target, "notes")
    application.prepare()
    with application:
        for _ in range(ROLLS):
            replicas.roll(kill=True)
    for name, tally in application.tallies.items():
        log.info("%s: %d calls, the longest %.2f s", name, tally.calls, tally.longest)
    log.info("told to the application: %s", application.failures)
    # An insert whose answer was lost may have been done, so it is not repeated and the application is told.
    assert set(application.failures) <= {"insert"}
