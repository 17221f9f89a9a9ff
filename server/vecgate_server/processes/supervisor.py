"""Keeps several server processes on one address: starts them, replaces those that die, and ends them together.

Each of them listens on the address itself, with SO_REUSEPORT, and the kernel spreads connections over them by a hash. The supervisor answers
nothing and is no part of a call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Never

from vecgate_server.config import ServerSettings, Settings
from vecgate_server.exit_codes import FAILED
from vecgate_server.listening import HEALTH_SETTINGS, MAIN_SETTINGS, bracketed, reserved_port
from vecgate_server.processes.place import Place, ServerStartError
from vecgate_server.processes.shares import SharedPorts, settings_of_place

CLOSING_SECONDS = 35.0
"""Beyond the grace, for models and backends to be closed; longer than a process itself gives them, which then ends with a word."""
MOST_FAILURES = 5
"""In a row and of one place, while nobody serves: then there is nothing to wait for."""

log = logging.getLogger(__name__)


class Supervisor:
    """The server processes of one server."""

    def __init__(self, settings: Settings, ports: SharedPorts) -> None:
        """Start nothing yet; `ports` are those that are reserved for them."""
        self._grace = settings.server.shutdown_grace_seconds
        self._places = [
            Place(number, settings_of_place(settings, number, ports))
            for number in range(1, settings.server.workers + 1)
        ]

    async def run(self, stopping: asyncio.Event, announce: Callable[[], None]) -> None:
        """Serve until `stopping` is set, then drain.

        Args:
            stopping: says when.
            announce: called once all processes serve.

        Raises:
            ServerStartError: a process cannot serve at the start; nobody serves and nobody can; or one did not end well.
        """
        try:
            await _unless(stopping, *(place.start() for place in self._places))
            if not stopping.is_set():
                announce()
                await _unless(stopping, *(self._keep(place) for place in self._places))
        finally:
            ended_well = await self._drain()
        if not ended_well:
            raise ServerStartError("a server process did not end well; the log tells of it", FAILED)

    def kill(self) -> None:
        """End every process at once."""
        for place in self._places:
            place.kill()

    async def _keep(self, place: Place) -> Never:
        """Have a process in a place for ever.

        Raises:
            ServerStartError: nobody serves, and one that could cannot be had.
        """
        while True:
            try:
                await place.replace()
            except ServerStartError as fault:
                if place.failures >= MOST_FAILURES and not any(each.serving for each in self._places):
                    raise
                log.warning("server process %d cannot serve: %s", place.number, fault)

    async def _drain(self) -> bool:
        for place in self._places:
            place.drain()
        seconds = self._grace + CLOSING_SECONDS
        return all(await asyncio.gather(*(place.drained(seconds) for place in self._places)))


async def supervise(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve with several processes until SIGTERM or SIGINT, then drain; a second signal ends them all at once.

    Args:
        settings: what to serve; server.workers of it is more than 1.
        announce: called with the address once all processes serve.

    Raises:
        ListenError: the address is in use or not of this machine.
        ServerStartError: see Supervisor.run.
    """
    stopping = asyncio.Event()
    host = settings.server.host
    with _reserved_ports(settings.server) as ports:
        supervisor = Supervisor(settings, ports)

        def stop(signal_number: int) -> None:
            if stopping.is_set():
                supervisor.kill()
                os._exit(128 + signal_number)
            log.info("%s: draining", signal.Signals(signal_number).name)
            stopping.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop, each)
        await supervisor.run(stopping, lambda: announce(f"{bracketed(host)}:{ports.calls}"))


@contextmanager
def _reserved_ports(server: ServerSettings) -> Iterator[SharedPorts]:
    with ExitStack() as reservations:
        calls = reservations.enter_context(reserved_port(server.host, server.port, MAIN_SETTINGS))
        health = server.health_port
        if health is not None:
            health = reservations.enter_context(reserved_port(server.health_host, health, HEALTH_SETTINGS))
        yield SharedPorts(calls, health)


async def _unless(stopping: asyncio.Event, *works: Coroutine[Any, Any, None]) -> None:
    """Do works side by side until all are done, one fails, or `stopping` is set; what is left is given up."""
    tasks = [asyncio.create_task(work) for work in works]
    waiting = asyncio.create_task(stopping.wait())
    doing = asyncio.gather(*tasks)
    either: set[asyncio.Future[Any]] = {doing, waiting}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if doing.done() and not stopping.is_set():
            doing.result()
    finally:
        # All of them: one that failed leaves the others of a gather running.
        for each in (*tasks, waiting):
            each.cancel()
        await asyncio.gather(*tasks, *either, return_exceptions=True)
