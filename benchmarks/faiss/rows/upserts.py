"""Durable writes: batches, many callers with one record each, and what searches feel of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context

from benchmarks.faiss.bench import BATCH, COLLECTION, TOP_K, Bench, explained, fill, wait_until_settled
from benchmarks.faiss.callers import call_for, search_requests
from benchmarks.faiss.vectors import FloatMatrix
from benchmarks.result import Measured, Row, Verdict, at_least, at_most, figure, milliseconds
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
    """Load half in batches, then more of them beside searches: how fast, how long until all is sealed, how searches do meanwhile."""
    half = round(FILLED_SHARE * bench.scale.records)
    requests = search_requests(COLLECTION, bench.vectors.queries)
    latencies: dict[str, list[tuple[float, ...]]] = {"idle": [], "beside replacements": [], "beside new records": []}
    with bench.server() as server, server.client() as client:

        def search(name: str) -> None:
            calls = call_for(server.address, "Search", requests, callers=1, seconds=bench.scale.seconds)
            latencies[name].append(calls.latencies)

        writing = half / fill(client, bench.vectors, range(half))
        sealed = wait_until_settled(client)
        for _ in range(bench.scale.rounds):
            search("idle")
            with _bulk_upserts(server.address, bench.vectors.records[half:], half, replacing=True):
                search("beside replacements")
            wait_until_settled(client)
        with _bulk_upserts(server.address, bench.vectors.records[half:], half, replacing=False):
            search("beside new records")
            head = explained(client)["head_records"]
    return Measured(
        figures=(
            figure(f"upserts, batches of {BATCH}, with metadata", "records/s", [writing]),
            figure("from the last answer until all is sealed", "s", [sealed]),
            figure("records searched exactly, at the end of the new ones", "", [head]),
            *(
                milliseconds(f"search {name}, p{share}", [percentile(each, share) for each in seen])
                for name, seen in latencies.items()
                for share in (50, 99)
            ),
        ),
        verdicts=_verdicts(latencies),
        notes=(f"one caller, top {TOP_K}; {half} records before, batches of {BATCH} back to back beside, merges too",),
    )


def _verdicts(latencies: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Verdict, ...]:
    """Compare the slowest searches beside writes with those of rest."""
    slowest = {name: [percentile(each, 99) for each in seen] for name, seen in latencies.items()}
    idle = slowest.pop("idle")
    return tuple(
        at_most(f"p99 {name} to p99 idle", "x", ratios(seen, idle[: len(seen)]), 3) for name, seen in slowest.items()
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
def _bulk_upserts(address: str, vectors: FloatMatrix, first: int, *, replacing: bool) -> Iterator[None]:
    """Write batches back to back from another process for the length of a with-block; records of new ids, or the same again and again."""
    process = get_context("spawn").Process(target=_write, args=(address, vectors, first, replacing), daemon=True)
    process.start()
    time.sleep(2.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _write(address: str, vectors: FloatMatrix, first: int, replacing: bool) -> None:
    with Client(address) as client:
        number = 0
        while True:
            numbers = range(number, number + BATCH)
            records = [
                Record(str(first + (each % len(vectors) if replacing else each)), vector=vectors[each % len(vectors)])
                for each in numbers
            ]
            client.upsert(COLLECTION, records, batch_size=BATCH)
            number += BATCH


GROUP_COMMIT = Row("group-commit", "many callers upserting one record each", measure_group_commit)
BACKLOG = Row("backlog", "bulk upserts, sealing, and searches beside both", measure_backlog)
