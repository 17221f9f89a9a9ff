"""Many callers at once, one short text each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.encoder.bench import Bench
from benchmarks.result import Measured, Row, at_least, figure, milliseconds
from benchmarks.statistics import percentile, ratios
from vecgate import AsyncClient

CALLERS = 32


def measure(bench: Bench) -> Measured:
    """Let 32 callers ask back to back: the server, then one SentenceTransformer behind a lock, in turns."""
    scale = bench.scale
    rates: list[float] = []
    reference: list[float] = []
    latencies: dict[int, list[float]] = {50: [], 99: []}
    with bench.warm_server() as server, bench.reference() as model:
        asyncio.run(_ask(server.address, bench.texts.queries, scale.seconds / 4))
        for _ in range(scale.rounds):
            seconds, rate = asyncio.run(_ask(server.address, bench.texts.queries, scale.seconds))
            rates.append(rate)
            for q in (50, 99):
                latencies[q].append(percentile(seconds, q))
            reference.append(model.texts_under_lock(bench.texts.queries, CALLERS, scale.seconds))
    return Measured(
        figures=(
            figure("server", "texts/s", rates),
            milliseconds("server, p50", latencies[50]),
            milliseconds("server, p99", latencies[99]),
            figure("SentenceTransformer behind a lock", "texts/s", reference),
        ),
        verdicts=(at_least("times the texts/s", "x", ratios(rates, reference), 5.0),),
        notes=(f"{CALLERS} callers, no text of one is in flight with another",),
    )


async def _ask(address: str, texts: Sequence[str], seconds: float) -> tuple[list[float], float]:
    """Return the seconds of every call, and texts a second."""
    taken: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:

        async def call(number: int) -> None:
            # Each caller has a part of the texts to itself.
            own = texts[number::CALLERS]
            turn = 0
            while (asked := time.perf_counter()) < end:
                await client.encode([own[turn % len(own)]], "query")
                taken.append(time.perf_counter() - asked)
                turn += 1

        for number in range(CALLERS):
            tasks.create_task(call(number))
    return taken, len(taken) / (time.perf_counter() - began)


ROW = Row("concurrent", f"{CALLERS} concurrent callers, one short text each, fp32", measure)
