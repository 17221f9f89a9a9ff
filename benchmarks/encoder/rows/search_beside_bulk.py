"""Vector searches and a bulk encode on the same cores, by the threads that a forward pass gets."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import package_texts
from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import bulk_load, seconds_of_calls_for
from benchmarks.result import Figure, Measured, Row, figure, milliseconds
from benchmarks.server import ServerProcess
from benchmarks.statistics import percentile
from vecgate import IDS_ONLY, Client, Record

THREADS = (0, 1, 2)
COLLECTION = "lines"


def measure(bench: Bench) -> Measured:
    """For each number of threads: search an idle server, encode alone, do both; in turns."""
    vectors = _vectors_of_lines(bench)
    seen: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.scale.rounds):
        for threads in THREADS:
            with bench.warm_server(threads=threads) as server:
                for name, value in _round(bench, server, vectors).items():
                    seen[f"threads {threads}: {name}"].append(value)
    return Measured(
        figures=tuple(_figures(seen)),
        notes=(
            f"{len(vectors)} stored vectors of real lines, top 10 by vector, one caller; encoder.threads 0 is one a core",
        ),
    )


def _figures(seen: Mapping[str, list[float]]) -> list[Figure]:
    return [
        figure(name, "texts/s", rounds) if ": bulk," in name else milliseconds(name, rounds)
        for name, rounds in seen.items()
    ]


def _vectors_of_lines(bench: Bench) -> NDArray[np.float32]:
    """Encode short lines once, so that what is searched lies as real text does."""
    lines = package_texts(bench.data, documents=0, queries=bench.scale.stored_vectors).queries
    with bench.server() as server, server.client() as client:
        return client.encode(lines, "document").vectors


def _round(bench: Bench, server: ServerProcess, vectors: NDArray[np.float32]) -> dict[str, float]:
    seconds = bench.scale.seconds
    with server.client() as client:
        client.create_collection(COLLECTION, dimension=vectors.shape[1])
        client.upsert(COLLECTION, [Record(str(number), vector=vector) for number, vector in enumerate(vectors)])
        search = _searching(client, vectors)
        seconds_of_calls_for(search, seconds=seconds / 4)
        idle = seconds_of_calls_for(search, seconds=seconds)
        with bulk_load(server.address, bench.texts.documents) as load:
            alone = time.monotonic()
            time.sleep(seconds)
            began = time.monotonic()
            beside = seconds_of_calls_for(search, seconds=seconds)
            ended = time.monotonic()
    return {
        "search idle, p50": percentile(idle, 50),
        "search idle, p99": percentile(idle, 99),
        "search beside bulk, p50": percentile(beside, 50),
        "search beside bulk, p99": percentile(beside, 99),
        "bulk, no search": load.texts_a_second(alone, began),
        "bulk, searches back to back": load.texts_a_second(began, ended),
    }


def _searching(client: Client, vectors: NDArray[np.float32]) -> Callable[[int], object]:
    return lambda number: client.search(COLLECTION, vectors[number * 7 % len(vectors)], top_k=10, fields=IDS_ONLY)


ROW = Row("search-beside-bulk", "vector searches beside a saturating bulk encode", measure)
