"""What becomes of a process that has said that it cannot serve, while it is still there."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest

from vecgate_server.config import Settings
from vecgate_server.processes import place as places
from vecgate_server.processes.place import Place, ServerStartError
from vecgate_server.processes.report import Report
from vecgate_server.processes.supervised import SupervisedProcess

SCRIPT = f"""
import sys, time
sys.stdout.buffer.write({Report("the port is taken", 1).line()!r})
sys.stdout.flush()
time.sleep(60)
"""


class Started:
    """Processes that cannot serve and do not end by themselves, in the place of server processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processes: list[SupervisedProcess] = []
        self.waited_for = asyncio.Event()
        self._drained = SupervisedProcess.drained

        async def drained(process: SupervisedProcess, seconds: float) -> bool:
            self.waited_for.set()
            return await self._drained(process, seconds)

        monkeypatch.setattr(SupervisedProcess, "start", self._start)
        monkeypatch.setattr(SupervisedProcess, "drained", drained)

    async def _start(self, _: Settings) -> SupervisedProcess:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, stdin=PIPE, stdout=PIPE)
        self.processes.append(SupervisedProcess(process))
        return self.processes[-1]


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(monkeypatch)


async def test_it_is_ended_before_the_fault_is_told(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "ENDING_SECONDS", 0.1)
    place = Place(1, Settings())
    with pytest.raises(ServerStartError, match="the port is taken"):
        await place.start()
    assert [process.is_over for process in started.processes] == [True]
    assert await place.drained(60)


async def test_it_is_ended_with_the_place_when_its_start_is_given_up(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(1, Settings())
    starting = asyncio.create_task(place.start())
    await started.waited_for.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    monkeypatch.setattr(places, "ENDING_SECONDS", 0.1)
    place.drain()
    # Its fault is what there was to tell; that it had to be ended is none of the place's.
    assert await place.drained(60)
    assert [process.is_over for process in started.processes] == [True]


async def test_it_is_ended_at_once_where_the_place_is(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "ENDING_SECONDS", 60)
    place = Place(1, Settings())
    starting = asyncio.create_task(place.start())
    await started.waited_for.wait()
    place.kill()
    with pytest.raises(ServerStartError):
        async with asyncio.timeout(20):
            await starting
    assert [process.is_over for process in started.processes] == [True]
