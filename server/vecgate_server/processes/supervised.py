"""A server process as its supervisor sees it: started, asked whether it serves, ended. It is not replaced here."""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Self, cast

from vecgate_server.config import Settings
from vecgate_server.exit_codes import FAILED
from vecgate_server.processes.report import Report

MODULE = "vecgate_server.processes.server_process"


class SupervisedProcess:
    """A started server process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        # Both are pipes: see start().
        self._input = cast("asyncio.StreamWriter", process.stdin)
        self._output = cast("asyncio.StreamReader", process.stdout)

    @classmethod
    async def start(cls, settings: Settings) -> Self:
        """Start one that serves these settings.

        Raises:
            OSError: no process can be started.
        """
        process = cls(await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, stdin=PIPE, stdout=PIPE))
        # Pickled, because reading them again would put the environment before what the supervisor decided.
        process._input.write(pickle.dumps(settings))
        return process

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.returncode is not None

    async def report(self) -> Report:
        """Wait until it serves or has told why it cannot; one that ended without a word is such a reason."""
        line = await self._output.readline()
        if line.endswith(b"\n"):
            return Report.read(line)
        return Report(f"a server process {await self.ended()} while it was starting", FAILED)

    async def ended(self) -> str:
        """Wait until it has ended, and say how, such as "was ended by SIGKILL"."""
        code = await self._process.wait()
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def drain(self) -> None:
        """Tell it to turn NOT_SERVING and end once its calls have."""
        self._input.close()

    async def drained(self, seconds: float) -> bool:
        """Wait for its end, for so long; then end it. Return whether it ended by itself and well."""
        try:
            async with asyncio.timeout(seconds):
                return await self._process.wait() == 0
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()
