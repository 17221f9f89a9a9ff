"""An application that searches, writes and streams without end, and what of its calls failed: for servers that are replaced meanwhile.

Every part of it notes what was acknowledged; check() compares that with the store. Calls are made at a steady pace, so that they meet every moment
of a restart and leave the cores to the servers.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from vecgate import AsyncClient, Client, Record, VecgateError

DIMENSION = 8
SEARCHED = 50
"""Records that nobody changes and everybody searches."""
PAUSE_SECONDS = 0.01
OVERWRITTEN = "overwritten"
STREAM_BATCH = 25


def vector(number: int) -> list[float]:
    """Return the vector of a record."""
    found: list[float] = np.random.default_rng(number).standard_normal(DIMENSION).tolist()
    return found


@dataclass
class Tally:
    """What became of the calls of one part.

    Attributes:
        calls: that were answered. longest: seconds of the slowest of them.
        failures: of the others, with what they were.
        stored: ids that were acknowledged.
        version: of the record that is written again and again, as acknowledged last; 0: never.
    """

    calls: int = 0
    longest: float = 0.0
    failures: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    version: int = 0

    def answered(self, began: float) -> None:
        """Count a call that was answered."""
        self.calls += 1
        self.longest = max(self.longest, time.monotonic() - began)


class Application:
    """Works on a collection through servers at one target from entry to exit of a with-block.

    Attributes:
        tallies: by what the part does.
    """

    def __init__(self, target: str, collection: str) -> None:
        self._target = target
        self._collection = collection
        self._over = threading.Event()
        self.tallies: dict[str, Tally] = {}
        self._running = ExitStack()
        self._parts: list[Future[None]] = []

    def prepare(self) -> None:
        """Make the collection."""
        with Client(self._target) as client:
            client.wait_ready()
            client.create_collection(self._collection, dimension=DIMENSION, metric="dot")
            client.upsert(self._collection, [Record(f"fixed-{n}", vector=vector(n)) for n in range(SEARCHED)])

    def __enter__(self) -> Self:
        works: dict[str, Callable[[Client, Tally], None]] = {
            "search": self._search,
            "insert": self._insert,
            "overwrite": self._overwrite,
            "stream": self._stream,
        }
        executor = self._running.enter_context(ThreadPoolExecutor(len(works) + 1))
        for name, work in works.items():
            tally = self.tallies[name] = Tally()
            client = self._running.enter_context(Client(self._target))
            self._parts.append(executor.submit(work, client, tally))
        self._parts.append(executor.submit(lambda: asyncio.run(self._asynchronously())))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._running:
            for part in self._parts:
                part.result()

    @property
    def failures(self) -> dict[str, list[str]]:
        """The calls that failed, by what they were, where there are any."""
        return {name: tally.failures for name, tally in self.tallies.items() if tally.failures}

    def check(self) -> None:
        """Everything acknowledged is stored, once, and nothing else is; what was overwritten is as it was acknowledged last."""
        expected = {f"fixed-{number}" for number in range(SEARCHED)}
        for tally in self.tallies.values():
            assert len(set(tally.stored)) == len(tally.stored)
            expected.update(tally.stored)
        written = {f"{OVERWRITTEN}-{name}": tally.version for name, tally in self.tallies.items() if tally.version}
        with Client(self._target) as client:
            found = {record.id: record.metadata for record in client.list(self._collection)}
            assert client.count(self._collection) == len(found)
        assert {id_: found[id_]["version"] for id_ in written} == written
        assert set(found) - set(written) == expected

    def _search(self, client: Client, tally: Tally) -> None:
        for number in self._numbers():
            began = time.monotonic()
            try:
                result = client.search(self._collection, vector(number % SEARCHED), top_k=3)
            except VecgateError as error:
                tally.failures.append(repr(error))
            else:
                tally.answered(began)
                if len(result.matches) != 3:
                    tally.failures.append(f"{len(result.matches)} matches")

    def _insert(self, client: Client, tally: Tally) -> None:
        """Insert, which must not be done twice: the second time the record exists, and fails."""
        for number in self._numbers():
            began = time.monotonic()
            record = Record(f"inserted-{number}", vector=vector(number))
            try:
                result = client.upsert(self._collection, [record], mode="insert")
            except VecgateError as error:
                tally.failures.append(repr(error))
            else:
                tally.answered(began)
                tally.stored.append(record.id)
                tally.failures.extend(f"{failure}" for failure in result.failures)

    def _overwrite(self, client: Client, tally: Tally) -> None:
        for number in self._numbers(1):
            began = time.monotonic()
            record = Record(f"{OVERWRITTEN}-overwrite", vector=vector(number), metadata={"version": number})
            try:
                client.upsert(self._collection, [record])
            except VecgateError as error:
                tally.failures.append(repr(error))
            else:
                tally.answered(began)
                tally.version = number

    def _stream(self, client: Client, tally: Tally) -> None:
        sent: list[str] = []

        def records() -> Iterator[Record]:
            for number in self._numbers():
                sent.append(f"streamed-{number}")
                yield Record(sent[-1], vector=vector(number))

        began = time.monotonic()
        try:
            result = client.upsert_many(self._collection, records(), batch_size=STREAM_BATCH)
        except VecgateError as error:
            tally.failures.append(repr(error))
        else:
            tally.answered(began)
            tally.stored.extend(sent)
            if (result.stored, result.failed) != (len(sent), 0):
                tally.failures.append(f"{result.stored} of {len(sent)} stored, {result.failed} failed")

    async def _asynchronously(self) -> None:
        async with AsyncClient(self._target) as client:
            await asyncio.gather(*(self._one_asynchronously(client, number) for number in range(4)))

    async def _one_asynchronously(self, client: AsyncClient, part: int) -> None:
        """Search and overwrite in turns."""
        name = f"asynchronous-{part}"
        tally = self.tallies[name] = Tally()
        for number in itertools.count(1):
            if self._over.is_set():
                return
            began = time.monotonic()
            record = Record(f"{OVERWRITTEN}-{name}", vector=vector(part), metadata={"version": number})
            try:
                await client.search(self._collection, vector(number % SEARCHED), top_k=3)
                await client.upsert(self._collection, [record])
            except VecgateError as error:
                tally.failures.append(repr(error))
            else:
                tally.answered(began)
                tally.version = number
            await asyncio.sleep(PAUSE_SECONDS)

    def _numbers(self, first: int = 0) -> Iterator[int]:
        """Count until the block ends, at the pace of the application."""
        for number in itertools.count(first):
            if self._over.wait(PAUSE_SECONDS):
                return
            yield number
