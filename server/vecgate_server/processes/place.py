"""One of the server processes that a supervisor keeps, and whoever takes its place when it dies."""

from __future__ import annotations

import asyncio
import logging
import time

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config import Settings
from vecgate_server.exit_codes import FAILED
from vecgate_server.processes.supervised import SupervisedProcess

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
ENDING_SECONDS = 10.0
"""For a process that cannot serve, after it said so."""
STEADY_SECONDS = 60.0
"""One that served for so long died of something else than the one before it."""

log = logging.getLogger(__name__)


class ServerStartError(ConfigurationError):
    """A server process cannot serve, or did not end well; `code` is the exit code that belongs to it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Place:
    """Holds one server process after the other.

    Attributes:
        number: which of the places, from 1 on.
        serving: whether its process serves now, as far as is known.
        failures: processes in a row that died before they had served for STEADY_SECONDS.
    """

    def __init__(self, number: int, settings: Settings) -> None:
        self.number = number
        self.serving = False
        self.failures = 0
        self._settings = settings
        self._process: SupervisedProcess | None = None
        # One that said that it cannot serve, until it has ended: kept, since whoever waits for that may be given up.
        self._unfit: SupervisedProcess | None = None
        self._since = 0.0

    async def start(self) -> None:
        """Start a process here, and wait until it serves.

        Raises:
            ServerStartError: it cannot.
        """
        self._process = None
        try:
            self._process = process = await SupervisedProcess.start(self._settings)
        except OSError as fault:
            raise ServerStartError(f"no process can be started: {fault.strerror}", FAILED) from None
        report = await process.report()
        if report.fault:
            self._process, self._unfit = None, process
            await self._unfit_ended()
            raise ServerStartError(report.fault, report.code)
        self.serving = True
        self._since = time.monotonic()
        log.info("server process %d (pid %d) serves", self.number, process.pid)

    async def replace(self) -> None:
        """Wait until the process has died, and start another one, after a pause if they die soon after each other.

        Raises:
            ServerStartError: the other one cannot serve.
        """
        process = self._process
        how = f"(pid {process.pid}) {await process.ended()}" if process else "could not be started"
        steady = self.serving and time.monotonic() - self._since >= STEADY_SECONDS
        self.serving = False
        self.failures = 0 if steady else self.failures + 1
        pause = 0 if steady else min(FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)
        log.warning("server process %d %s; another one is started in %g s", self.number, how, pause)
        await asyncio.sleep(pause)
        await self.start()

    def drain(self) -> None:
        """Tell the process to end once its calls have; one that has ended by then is forgotten, since that was told."""
        if self._process and self._process.is_over:
            self._process = None
        if self._process:
            self._process.drain()

    async def drained(self, seconds: float) -> bool:
        """Wait for the end of the process, for so long; then end it. Return whether it ended well, or there is none that can serve."""
        await self._unfit_ended()
        if self._process is None:
            return True
        well = await self._process.drained(seconds)
        if not well and self.serving:
            log.warning("server process %d (pid %d) %s", self.number, self._process.pid, await self._process.ended())
        return well

    def kill(self) -> None:
        """End the process at once."""
        for process in (self._process, self._unfit):
            if process:
                process.kill()

    async def _unfit_ended(self) -> None:
        """Wait for the end of a process that cannot serve, for ENDING_SECONDS; then end it."""
        if self._unfit:
            await self._unfit.drained(ENDING_SECONDS)
            self._unfit = None
