"""Durable writes: batches, many callers with one record each, and what searches feel of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.faiss.bench import BATCH, COLLECTION, TOP_K, Bench, fill, wait_until_settled
from benchmarks.faiss.callers import call_for, search_requests
from benchmarks.faiss.vectors import FloatMatrix
from benchmarks.result import Measured, Row, at_least, at_most, figure, milliseconds
from benchmarks.statistics import percentile, ratios
from vecgate import AsyncClient, Client, Record
from vecgate_backends.faiss.consistency import ConsistencyToken

CALLERS = 64
SINGLES = 2_000
FILLED_SHARE = 0.5
"""Share of the records that are there before a load, so that searches have segments to walk."""


def measure_group_commit(bench: Bench) -> Measured:
    """One caller, then many, each upserting one record a call; commits are counted by the tokens of the answers."""
    alone: list[float] = []
    together: list[float] = []
    syncs: list[float] = []
    singles = min(SINGLES, bench.scale.records)
    with bench.server() as server, server.client() as client:
        client.create_collection(COLLECTION, dimension=bench.vectors.records.shape[1])
        for number in range(bench.scale.rounds):
            for callers, rates in ((1, alone), (CALLERS, together)):
                count = singles if callers > 1 else singles // 4
                before = _sequence(client, bench.vectors.records)
                seconds = asyncio.run(
                    _upsert_singly(server.address, bench.vectors.records, count, callers, f"{number}-{callers}")
                )
                commits = _sequence(client, bench.vectors.records) - before
                rates.append(count / seconds)
                if callers > 1:
                    syncs.append(commits / count)
    return Measured(
        figures=(figure("one caller", "records/s", alone), figure(f"{CALLERS} callers", "records/s", together)),
        verdicts=(
            at_least(f"{CALLERS} callers to one", "x", ratios(together, alone), 3),
            at_most("commits, each with a sync, a record", "", syncs, 0.1),
        ),
    )


def measure_backlog(bench: Bench) -> Measured:
    """Load everything in batches; how fast, how long until all is sealed, and how searches do meanwhile."""
    half = round(FILLED_SHARE * bench.scale.records)
    rest = range(half, bench.scale.records)
    requests = search_requests(COLLECTION, bench.vectors.queries)
    idle: dict[str, list[float]] = {"p50": [], "p99": []}
    loaded: dict[str, list[float]] = {"p50": [], "p99": []}
    writing: list[float] = []
    sealed: list[float] = []
    with bench.server() as server, server.client() as client:
        writing.append(half / fill(client, bench.vectors, range(half)))
        sealed.append(wait_until_settled(client))
        for _ in range(bench.scale.rounds):
            calls = call_for(server.address, "Search", requests, callers=1, seconds=bench.scale.seconds)
            for name, values in idle.items():
                values.append(percentile(calls.latencies, int(name[1:])))
            with _bulk_upserts(server.address, bench.vectors.records[rest.start : rest.stop], rest.start):
                calls = call_for(server.address, "Search", requests, callers=1, seconds=bench.scale.seconds)
            for name, values in loaded.items():
                values.append(percentile(calls.latencies, int(name[1:])))
    return Measured(
        figures=(
            figure(f"upserts, batches of {BATCH}, with metadata", "records/s", writing),
            figure("from the last answer until all is sealed", "s", sealed),
            milliseconds("search idle, p50", idle["p50"]),
            milliseconds("search idle, p99", idle["p99"]),
            milliseconds("search during bulk upserts and merges, p50", loaded["p50"]),
            milliseconds("search during bulk upserts and merges, p99", loaded["p99"]),
        ),
        verdicts=(at_most("p99 beside writes to p99 idle", "x", ratios(loaded["p99"], idle["p99"]), 3),),
        notes=(f"one caller, top {TOP_K}; {half} records before, batches of {BATCH} back to back beside",),
    )


async def _upsert_singly(address: str, vectors: FloatMatrix, count: int, callers: int, prefix: str) -> float:
    numbers = iter(range(count))
    async with AsyncClient(address) as client:

        async def caller() -> None:
            for number in numbers:
                record = Record(f"{prefix}-{number}", vector=vectors[number % len(vectors)])
                (await client.upsert(COLLECTION, [record])).raise_for_failures()

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return time.perf_counter() - began


def _sequence(client: Client, vectors: FloatMatrix) -> int:
    """Return the number of a commit made now."""
    token = client.upsert(COLLECTION, [Record("counter", vector=vectors[0])]).consistency_token
    return ConsistencyToken.decode(token).sequence


@contextmanager
def _bulk_upserts(address: str, vectors: FloatMatrix, first: int) -> Iterator[None]:
    """Write batches back to back from another process for the length of a with-block."""
    process = get_context("spawn").Process(target=_write, args=(address, vectors, first), daemon=True)
    process.start()
    time.sleep(2.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _write(address: str, vectors: FloatMatrix, first: int) -> None:
    with Client(address) as client:
        number = 0
        while True:
            rows: Any = np.arange(number, number + BATCH) % len(vectors)
            client.upsert(
                COLLECTION,
                [Record(str(first + row), vector=vectors[row]) for row in rows.tolist()],
                batch_size=BATCH,
            )
            number += BATCH


GROUP_COMMIT = Row("group-commit", "many callers upserting one record each", measure_group_commit)
BACKLOG = Row("backlog", "bulk upserts, sealing, and searches beside both", measure_backlog)
