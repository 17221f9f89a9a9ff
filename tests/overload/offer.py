"""Clients that make the mix's calls from a process of their own: as many as get answered, or so many a second whatever happens."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from multiprocessing import get_context

from hostile.http2_connection import SERVICE

from overload.lean_connection import CANCELLED, LATE, LeanConnection, Prepared, connect, prepared
from overload.mix import Kind, kinds

CONNECTIONS = 8
SWEEP_SECONDS = 0.01
"""From one look for calls whose time is over to the next, at most."""


class Ending(StrEnum):
    """How a call ended: with its answer, refused by the server and told when to come back, dropped by gRPC, not in time, or otherwise.

    gRPC itself drops, with CANCELLED, a call that it has no more room to keep until its turn comes.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    DROPPED = "dropped"
    LATE = "late"
    LOST = "lost"


ENDINGS: dict[int | None, Ending] = {
    0: Ending.ANSWERED,
    8: Ending.REFUSED,
    CANCELLED: Ending.DROPPED,
    LATE: Ending.LATE,
}
"""By gRPC's status."""


@dataclass(slots=True)
class Tally:
    """What became of the calls of one run.

    Attributes:
        endings: calls by kind and ending.
        seconds: of each call by kind and ending, in the order of their ends.
        lasted: seconds from the first call to the last that was made.
        processor_seconds: what the clients took themselves.
        furthest_behind: seconds that a call was made after its time at most.
        lost: why calls were lost.
    """

    endings: Counter[tuple[str, Ending]] = field(default_factory=Counter)
    seconds: dict[tuple[str, Ending], array[float]] = field(default_factory=dict)
    lasted: float = 0.0
    processor_seconds: float = 0.0
    furthest_behind: float = 0.0
    lost: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, ending: Ending, seconds: float) -> None:
        """Note the end of a call."""
        self.endings[kind, ending] += 1
        self.seconds.setdefault((kind, ending), array("f")).append(seconds)

    def add(self, other: Tally) -> None:
        """Take in the calls of another run."""
        self.endings += other.endings
        for each, seconds in other.seconds.items():
            self.seconds.setdefault(each, array("f")).extend(seconds)
        self.lasted += other.lasted
        self.processor_seconds += other.processor_seconds
        self.furthest_behind = max(self.furthest_behind, other.furthest_behind)
        self.lost += other.lost

    def total(self, ending: Ending | None = None) -> int:
        """Calls that ended so; None: all of them."""
        return sum(calls for (_, each), calls in self.endings.items() if ending in {None, each})

    def rate(self, kind: str | None = None) -> float:
        """Answered calls a second, of a kind or of all."""
        answered = sum(
            calls
            for (each, ending), calls in self.endings.items()
            if ending is Ending.ANSWERED and kind in {None, each}
        )
        return answered / self.lasted

    def sorted_seconds(self, ending: Ending) -> list[float]:
        """The seconds of all calls that ended so, shortest first."""
        return sorted(second for (_, each), seconds in self.seconds.items() if each is ending for second in seconds)


@dataclass(frozen=True, slots=True)
class Closed:
    """So many callers, each of which asks again when it is answered, for some seconds."""

    callers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """So many calls a second for some seconds, at random moments, whatever becomes of those before."""

    calls_a_second: float
    seconds: float


@contextmanager
def offering() -> Iterator[Offerer]:
    """Give a process that offers load for the length of a with-block."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        yield Offerer(process)


class Offerer:
    """Offers load from another process."""

    def __init__(self, process: ProcessPoolExecutor) -> None:
        self._process = process

    def begin(self, address: str, offer: Closed | Open) -> Future[Tally]:
        """Make the calls of an offer; the future has their tally once the last has ended."""
        return self._process.submit(make_calls, address, offer)

    def make(self, address: str, offer: Closed | Open) -> Tally:
        """Make the calls of an offer, and return their tally."""
        return self.begin(address, offer).result()


def make_calls(address: str, offer: Closed | Open) -> Tally:
    """Make the calls of an offer in this process."""
    return asyncio.run(_Calls(address).make(offer))


class _Calls:
    def __init__(self, address: str) -> None:
        self._address = address
        self._chance = random.Random(11)
        self._kinds = _all_prepared()
        self._names = list(self._kinds)
        self._shares = [kind.share for kind in kinds().values()]
        self._tally = Tally()
        self._connections: list[LeanConnection] = []
        self._made = 0
        self._under_way = 0

    async def make(self, offer: Closed | Open) -> Tally:
        self._connections = [await connect(self._address) for _ in range(CONNECTIONS)]
        sweeping = asyncio.create_task(self._give_up_late())
        processor, began = time.process_time(), time.monotonic()
        if isinstance(offer, Closed):
            self._begin_callers(offer.callers, began + offer.seconds)
            await self._idle()
            self._tally.lasted = time.monotonic() - began
        else:
            await self._make_all(offer, began)
            self._tally.lasted = time.monotonic() - began
            await self._idle()
        self._tally.processor_seconds = time.process_time() - processor
        sweeping.cancel()
        for connection in self._connections:
            connection.close()
        return self._tally

    def _begin_callers(self, callers: int, until: float) -> None:
        def ask_again() -> None:
            if time.monotonic() < until:
                self._call(then=ask_again)

        for _ in range(callers):
            self._call(then=ask_again)

    async def _make_all(self, offer: Open, began: float) -> None:
        due = began
        while due < began + offer.seconds:
            behind = time.monotonic() - due
            self._tally.furthest_behind = max(self._tally.furthest_behind, behind)
            await asyncio.sleep(max(-behind, 0.0))
            self._call(then=None)
            due += self._chance.expovariate(offer.calls_a_second)

    async def _idle(self) -> None:
        while self._under_way:  # noqa: ASYNC110  # asked a few times at the end
            await asyncio.sleep(SWEEP_SECONDS)

    async def _give_up_late(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in self._connections:
                connection.end_late()

    def _call(self, then: Callable[[], None] | None) -> None:
        (name,) = self._chance.choices(self._names, self._shares)
        deadline, calls = self._kinds[name]
        connection = self._connections[self._made % CONNECTIONS]
        self._made += 1
        self._under_way += 1
        began = time.perf_counter()

        def ended(status: int | None) -> None:
            self._under_way -= 1
            ending = ENDINGS.get(status, Ending.LOST)
            if ending is Ending.LOST:
                self._tally.lost[f"{name}: status {status}"] += 1
            self._tally.count(name, ending, time.perf_counter() - began)
            if then is not None:
                then()

        connection.call(calls[self._chance.randrange(len(calls))], deadline, ended)


@cache
def _all_prepared() -> dict[str, tuple[float, Sequence[Prepared]]]:
    return {name: _prepared(kind) for name, kind in kinds().items()}


def _prepared(kind: Kind) -> tuple[float, Sequence[Prepared]]:
    path = SERVICE + kind.method
    return kind.deadline, [prepared(path, messages, kind.deadline) for messages in kind.requests]
