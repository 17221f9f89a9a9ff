"""Searches through one server process and through two, in front of one store, by callers in a process of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.datasets import package_texts
from benchmarks.faiss.callers import WARM_UP_SECONDS, call_for, columns, search_requests
from benchmarks.processes.bench import (
    CALLERS,
    COLLECTION,
    CONNECTIONS,
    WORKERS,
    Bench,
    processor_time,
    qdrant_stand_in,
    server_in_front_of,
)
from benchmarks.result import Measured, Row, at_least, figure, milliseconds
from benchmarks.server import MIB, ServerProcess
from benchmarks.statistics import percentile, ratios
from vecgate import Client, Record
from vecgate.v1.search_pb2 import Query, SearchRequest

DIMENSION = 384
QUERIES = 500


def measure(bench: Bench, *, by_text: bool) -> Measured:
    """Let both sides take turns, each with the same callers."""
    seen: dict[str, list[float]] = defaultdict(list)
    texts = package_texts(bench.data, documents=bench.scale.records, queries=QUERIES)
    models: dict[str, Any] = {} if by_text else {"preload": []}
    with ExitStack() as running:
        port = running.enter_context(qdrant_stand_in())
        servers = {
            workers: running.enter_context(server_in_front_of(port, bench, workers, models)) for workers in WORKERS
        }
        with Client(servers[WORKERS[0]].address) as client:
            requests = _filled(client, texts.documents, texts.queries, by_text=by_text)
        for _ in range(bench.scale.rounds):
            for workers, server in servers.items():
                _turn(bench, server, requests, _name(workers), seen)
        for workers, server in servers.items():
            memory = server.memory()
            seen[f"memory, {_name(workers)}"].append(memory.pss / MIB)
    one, two = (seen[f"searches, {_name(workers)}"] for workers in WORKERS)
    units = {"searches": "calls/s", "memory": "MiB (PSS)", "server": "µs of processor a call", "models": "µs a call"}
    return Measured(
        figures=tuple(
            milliseconds(label, rounds) if " p99" in label else figure(label, units[label.split(",")[0]], rounds)
            for label, rounds in seen.items()
        ),
        verdicts=(at_least("two processes to one", "x", ratios(two, one), 1.0),),
        notes=(
            f"{CALLERS} callers over {CONNECTIONS} connections, {bench.scale.records} records",
            "callers, stand-in and servers share the cores, so what a second process brings is understated",
        ),
    )


def _filled(client: Client, documents: Sequence[str], queries: Sequence[str], *, by_text: bool) -> list[bytes]:
    """Fill the collection, and return serialized Search requests."""
    if by_text:
        client.create_collection(COLLECTION)
        client.upsert(COLLECTION, [Record(str(number), text) for number, text in enumerate(documents)])
        return [
            SearchRequest(collection=COLLECTION, query=Query(text=text), options=columns()).SerializeToString()
            for text in queries
        ]
    client.create_collection(COLLECTION, dimension=DIMENSION)
    vectors = np.random.default_rng(5).standard_normal((len(documents) + len(queries), DIMENSION), np.float32)
    records = [Record(str(number), vector=vectors[number]) for number in range(len(documents))]
    client.upsert(COLLECTION, records)
    return search_requests(COLLECTION, vectors[len(documents) :])


def _turn(
    bench: Bench, server: ServerProcess, requests: Sequence[bytes], name: str, seen: dict[str, list[float]]
) -> None:
    before = processor_time(server)
    calls = call_for(
        server.address,
        "Search",
        requests,
        callers=CALLERS,
        seconds=bench.scale.seconds,
        connections=CONNECTIONS,
    )
    after = processor_time(server)
    # The callers' warm-up second is in the processor time, so it is counted at the rate of the others.
    made = calls.rate * (calls.seconds + WARM_UP_SECONDS)
    seen[f"searches, {name}"].append(calls.rate)
    seen[f"searches, p99, {name}"].append(percentile(calls.latencies, 99))
    seen[f"server, {name}"].append(1e6 * (after.server - before.server) / made)
    seen[f"models, {name}"].append(1e6 * (after.models - before.models) / made)


def _name(workers: int) -> str:
    return "1 process" if workers == 1 else f"{workers} processes"


BY_VECTOR = Row("vectors", "searches by vector", partial(measure, by_text=False))
BY_TEXT = Row("texts", "searches by text, every one encoded", partial(measure, by_text=True))
