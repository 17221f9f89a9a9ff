"""Clients that make the mix's calls from a process of their own: as many as get answered, or so many a second whatever happens."""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import get_context
from typing import Any

import grpc
import grpc.aio

from overload.mix import Kind, kinds

SERVICE = "/vecgate.v1.VectorSearchService/"
CHANNELS = 8
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
"""Connections of their own, and no call made twice."""


class Ending(StrEnum):
    """How a call ended: with its answer, refused by the server and told when to come back, dropped by gRPC, not in time, or otherwise.

    gRPC itself drops, with CANCELLED, a call that it has no more room to keep until its turn comes.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    DROPPED = "dropped"
    LATE = "late"
    LOST = "lost"


ENDINGS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Ending.REFUSED,
    grpc.StatusCode.CANCELLED: Ending.DROPPED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Ending.LATE,
}


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
        self._kinds: Mapping[str, Kind] = kinds()
        self._names = list(self._kinds)
        self._shares = [kind.share for kind in self._kinds.values()]
        self._tally = Tally()
        self._channels: list[grpc.aio.Channel] = []
        self._made = 0

    async def make(self, offer: Closed | Open) -> Tally:
        self._channels = [grpc.aio.insecure_channel(self._address, options=OPTIONS) for _ in range(CHANNELS)]
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        processor, began = time.process_time(), time.monotonic()
        if isinstance(offer, Closed):
            await asyncio.gather(*(self._ask_again(began + offer.seconds) for _ in range(offer.callers)))
            self._tally.lasted = time.monotonic() - began
        else:
            calls = await self._make_all(offer, began)
            self._tally.lasted = time.monotonic() - began
            await asyncio.gather(*calls)
        self._tally.processor_seconds = time.process_time() - processor
        await asyncio.gather(*(channel.close() for channel in self._channels))
        return self._tally

    async def _ask_again(self, until: float) -> None:
        while time.monotonic() < until:
            await self._call()

    async def _make_all(self, offer: Open, began: float) -> set[asyncio.Task[None]]:
        under_way: set[asyncio.Task[None]] = set()
        due = began
        while due < began + offer.seconds:
            behind = time.monotonic() - due
            self._tally.furthest_behind = max(self._tally.furthest_behind, behind)
            await asyncio.sleep(max(-behind, 0.0))
            call = asyncio.create_task(self._call())
            under_way.add(call)
            call.add_done_callback(under_way.discard)
            due += self._chance.expovariate(offer.calls_a_second)
        return under_way

    async def _call(self) -> None:
        (name,) = self._chance.choices(self._names, self._shares)
        kind = self._kinds[name]
        channel = self._channels[self._made % CHANNELS]
        self._made += 1
        messages = kind.requests[self._chance.randrange(len(kind.requests))]
        began = time.perf_counter()
        try:
            await _ask(channel, kind, messages)
            ending = Ending.ANSWERED
        except grpc.aio.AioRpcError as error:
            ending = self._ending(error)
        self._tally.count(name, ending, time.perf_counter() - began)

    def _ending(self, error: grpc.aio.AioRpcError) -> Ending:
        if error.code() in ENDINGS:
            return ENDINGS[error.code()]
        self._tally.lost[f"{error.code().name}: {error.details()}"] += 1
        return Ending.LOST


async def _ask(channel: grpc.aio.Channel, kind: Kind, messages: Any) -> None:
    if kind.method != "UpsertStream":
        await channel.unary_unary(SERVICE + kind.method)(messages[0], timeout=kind.deadline)
        return
    call: Any = channel.stream_stream(SERVICE + kind.method)(iter(messages), timeout=kind.deadline)
    async for _ in call:
        pass
