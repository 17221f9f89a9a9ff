"""Callers: some that keep a server busy from a process of their own, and some that ask one thing after another."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from vecgate import AsyncClient, Client

TEXTS_A_CALL = 32
CALLERS = 16
# As long as a call of a saturated server may take.
CALL_SECONDS = 300.0
# Until every caller has had answers, and so until the server does nothing else.
SETTLING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BulkCall:
    """A finished call: when it began and ended (time.monotonic), its texts, and their tokens."""

    began: float
    ended: float
    texts: int
    tokens: int


@dataclass(slots=True)
class BulkLoad:
    """Calls that were made while the load lasted; they are known once it is over."""

    calls: list[BulkCall] = field(default_factory=list)

    def texts_a_second(self, began: float, ended: float) -> float:
        """Return the rate between two moments; a call that reaches over one counts by its part within."""
        return sum(call.texts * _share(call, began, ended) for call in self.calls) / (ended - began)

    def tokens_a_second(self, began: float, ended: float) -> float:
        """Return the rate between two moments in tokens, which does not hang on which texts had their turn."""
        return sum(call.tokens * _share(call, began, ended) for call in self.calls) / (ended - began)


def _share(call: BulkCall, began: float, ended: float) -> float:
    within = min(call.ended, ended) - max(call.began, began)
    return max(within, 0.0) / (call.ended - call.began)


@contextmanager
def bulk_load(address: str, documents: Sequence[str]) -> Iterator[BulkLoad]:
    """Encode documents without a pause for the length of a with-block, by many callers in another process.

    The block begins when the server is saturated. No text is in flight twice, so nothing can be answered without work.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    callers = max(2, min(CALLERS, len(documents) // TEXTS_A_CALL // 2))
    process = context.Process(target=_keep_busy, args=(address, tuple(documents), callers, there), daemon=True)
    process.start()
    load = BulkLoad()
    try:
        if not here.poll(CALL_SECONDS) or here.recv() != "saturated":
            raise RuntimeError("the callers of the bulk load made no progress")
        yield load
        here.send("stop")
        if not here.poll(CALL_SECONDS):
            raise RuntimeError("the callers of the bulk load did not stop")
        answer = here.recv()
        if isinstance(answer, Exception):
            raise answer
        load.calls = answer
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
        here.close()


def _keep_busy(address: str, documents: tuple[str, ...], callers: int, pipe: Any) -> None:
    try:
        pipe.send(asyncio.run(_call_until_told(address, documents, callers, pipe)))
    except Exception as error:  # noqa: BLE001  # the parent raises it
        pipe.send(RuntimeError(f"the bulk load broke off: {type(error).__name__}: {error}"))


async def _call_until_told(address: str, documents: tuple[str, ...], callers: int, pipe: Any) -> list[BulkCall]:
    calls: list[BulkCall] = []
    stopped = asyncio.Event()
    batches = itertools.cycle(
        [documents[start : start + TEXTS_A_CALL] for start in range(0, len(documents), TEXTS_A_CALL)]
    )
    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:

        async def call() -> None:
            while not stopped.is_set():
                batch = next(batches)
                began = time.monotonic()
                answer = await client.encode(batch, "document", timeout=CALL_SECONDS)
                calls.append(BulkCall(began, time.monotonic(), len(batch), int(answer.tokens.sum())))

        for _ in range(callers):
            tasks.create_task(call())
        while len(calls) < callers:  # noqa: ASYNC110  # as many as there are callers have come back
            await asyncio.sleep(0.05)
        await asyncio.sleep(SETTLING_SECONDS)
        pipe.send("saturated")
        await asyncio.to_thread(pipe.recv)
        stopped.set()
    return calls


def seconds_of_calls(ask: Callable[[int], object], *, calls: int, pause: float = 0.0) -> list[float]:
    """Ask one thing after another, and return the seconds of each; `ask` is given the number of the call."""
    return [_seconds_of(ask, number, pause) for number in range(calls)]


def seconds_of_calls_for(ask: Callable[[int], object], *, seconds: float, pause: float = 0.0) -> list[float]:
    """Ask one thing after another for so long; otherwise as seconds_of_calls()."""
    end = time.monotonic() + seconds
    times: list[float] = []
    while time.monotonic() < end:
        times.append(_seconds_of(ask, len(times), pause))
    return times


def _seconds_of(ask: Callable[[int], object], number: int, pause: float) -> float:
    began = time.perf_counter()
    ask(number)
    taken = time.perf_counter() - began
    time.sleep(pause)
    return taken


def asking(client: Client, queries: Sequence[str], start: int = 0) -> Callable[[int], object]:
    """Return a caller that encodes one query after another, beginning at `start`."""
    return lambda number: client.encode([queries[(start + number) % len(queries)]], "query")
