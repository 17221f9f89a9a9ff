"""What metrics and traces cost: processor time of the server for each call, in turns."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Mapping

from benchmarks.result import Figure, Measured, Row, Verdict, at_most, figure
from benchmarks.statistics import ratios
from benchmarks.telemetry.bench import (
    COLLECTION,
    WARM_UP,
    WAYS,
    Ask,
    Bench,
    Watched,
    microseconds_a_call,
    servers,
    vectors,
    wire,
)
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest

MOST = 1.10
"""Times the processor time of a call without metrics and traces."""
QUERIES = 256
SETTLE_SECONDS = 15.0
"""Until the index of the Faiss backend is built and merged."""


def _searches() -> Ask:
    queries = [wire(vector) for vector in vectors(QUERIES)]
    options = SearchOptions(top_k=10)

    async def search(stub: object, number: int) -> None:
        query = Query(vector=queries[number % QUERIES])
        await stub.Search(SearchRequest(collection=COLLECTION, query=query, options=options))  # type: ignore[attr-defined]  # a stub

    return search


async def _count(stub: object, number: int) -> None:
    del number
    await stub.Count(CountRequest(collection=COLLECTION))  # type: ignore[attr-defined]  # a stub


def measure_calls(bench: Bench) -> Measured:
    """Let the four servers take turns with searches, then with the cheapest call there is."""
    return asyncio.run(_measure_calls(bench))


async def _measure_calls(bench: Bench) -> Measured:
    figures: list[Figure] = []
    verdicts: list[Verdict] = []
    async with servers(bench) as (watched, collector):
        await asyncio.sleep(SETTLE_SECONDS)
        for name, ask, judged in (("Search", _searches(), True), ("Count", _count, False)):
            rounds = await _take_turns(watched, ask, bench)
            figures += [figure(f"{name}, {way}", "µs", rounds[way]) for way in WAYS]
            for way in WAYS[1:]:
                compared = ratios(rounds[way], rounds["off"])
                label = f"{name}: {way}, to off"
                if judged and way != WAYS[3]:
                    verdicts.append(at_most(label, "x", compared, MOST))
                else:
                    figures.append(figure(label, "x", compared))
        spans = collector.spans
    note = f"{bench.scale.records:,} records of 384 components in Faiss, top_k 10, four callers; {spans:,} spans were exported"
    return Measured(tuple(figures), tuple(verdicts), (note,))


async def _take_turns(watched: Mapping[str, Watched], ask: Ask, bench: Bench) -> dict[str, list[float]]:
    for each in watched.values():
        await microseconds_a_call(each, ask, min(WARM_UP, bench.scale.calls))
    rounds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(bench.scale.rounds):
        # Each begins a round as often as the others.
        order = WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]
        for way in order:
            rounds[way].append(await microseconds_a_call(watched[way], ask, bench.scale.calls))
    return rounds


def measure_scrape(bench: Bench) -> Measured:
    """Read the metrics of a server that has nothing else to do."""
    return asyncio.run(_measure_scrape(bench))


async def _measure_scrape(bench: Bench) -> Measured:
    async with servers(bench) as (watched, _):
        server = watched["metrics"]
        log = (server.server.folder / "server.log").read_text()
        address = log.partition("metrics at ")[2].split()[0]
        cpu, wall, size = [], [], []
        for _ in range(5 * bench.scale.rounds):
            before, began = server.cpu_ns(), time.perf_counter()
            with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: ASYNC210  # nothing else runs here
                size.append(len(answer.read()) / 1024)
            wall.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.05)
            cpu.append((server.cpu_ns() - before) / 1e6)
    return Measured(
        (
            figure("processor time of a scrape", "ms", cpu),
            figure("time of a scrape", "ms", wall),
            figure("its size", "KiB", size),
        )
    )


ROWS: dict[str, Row[Bench]] = {
    row.name: row
    for row in (
        Row("calls", "processor time of a call with metrics and traces", measure_calls),
        Row("scrape", "what a scrape takes", measure_scrape),
    )
}
