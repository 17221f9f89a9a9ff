"""How build rate, memory, start and search change with the number of records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.faiss.bench import COLLECTION, Bench, exact_ids, fill, recall, wait_until_settled
from benchmarks.faiss.callers import call_for, search_requests
from benchmarks.faiss.rows.search import found_ids
from benchmarks.faiss.vectors import RealVectors
from benchmarks.result import Measured, Row, Verdict, at_least, at_most, figure
from vecgate import HnswIndex
from vecgate_backends.records import HnswIndex as DefaultIndex

MILLION_RECORDS = 1_000_000
NEIGHBOUR_NOISE = 0.35
"""Length of the Gaussian step from a real vector to an invented neighbour, before that gets length 1 again."""
CALLERS = 16
VECTOR_BYTES = 4 * 384
LINK_BYTES = 8 * DefaultIndex().m + 10
"""Of a vector in Faiss's graph: twice m links on the lowest level, and its share of the others."""
KINDS: dict[str, HnswIndex] = {"HNSW": HnswIndex(), "SQ8": HnswIndex(quantization="scalar8")}


def enlarged(vectors: RealVectors, count: int) -> RealVectors:
    """Return so many records: the real ones, then renormalised Gaussian neighbours of them."""
    real = len(vectors.records)
    if count <= real:
        return vectors.first(count)
    chance = np.random.default_rng(5)
    records = np.empty((count, vectors.records.shape[1]), np.float32)
    records[:real] = vectors.records
    for begin in range(real, count, 10_000):
        rows = records[begin : min(begin + 10_000, count)]
        noise = chance.standard_normal(rows.shape, np.float32) / np.sqrt(rows.shape[1])
        rows[:] = vectors.records[chance.integers(0, real, len(rows))] + NEIGHBOUR_NOISE * noise
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return RealVectors(records, vectors.queries, np.resize(vectors.categories, count))


def measure(bench: Bench, counts: Sequence[int], kinds: Iterable[str] = tuple(KINDS)) -> Measured:
    """Fill, settle, search, restart; for each kind of graph and number of records."""
    figures = []
    verdicts: list[Verdict] = []
    for kind in kinds:
        index = KINDS[kind]
        for count in counts:
            seen = _measure_one(bench, enlarged(bench.everything, count), index)
            figures += [figure(f"{kind}, {count}: {name}", unit, [value]) for (name, unit), value in seen.items()]
            verdicts.append(at_least(f"{kind}, {count}: recall@10", "share", [seen["recall@10", "share"]], 0.95))
            if kind == "HNSW":
                graph = VECTOR_BYTES + LINK_BYTES
                ratio = seen["resident bytes a vector", "B"] / graph
                verdicts.append(at_most(f"{kind}, {count}: memory to vectors and graph", "x", [ratio], 1.25))
    return Measured(tuple(figures), tuple(verdicts), notes=("records with three metadata fields, no text",))


def _measure_one(bench: Bench, vectors: RealVectors, index: HnswIndex) -> dict[tuple[str, str], Any]:
    count = len(vectors.records)
    few = vectors.queries[: bench.scale.recall_queries]
    seen: dict[tuple[str, str], Any] = {}
    with bench.server("scale") as server, server.client() as client:
        empty = server.memory().pss
        client.create_collection(COLLECTION, dimension=384, index=index)
        writing = fill(client, vectors, range(count))
        settling = wait_until_settled(client)
        seen["upserts", "records/s"] = count / writing
        seen["upserts until all is sealed", "records/s"] = count / (writing + settling)
        seen["recall@10", "share"] = recall(found_ids(client, few), exact_ids(vectors.records, few))
        calls = call_for(
            server.address,
            "Search",
            search_requests(COLLECTION, vectors.queries),
            callers=CALLERS,
            seconds=bench.scale.seconds,
        )
        seen[f"searches, {CALLERS} callers", "queries/s"] = calls.rate
        store = server.folder / "store"
        after = server.memory().pss
    with bench.server("restart", path=str(store)) as server:
        seen["start to SERVING", "s"] = server.seconds_to_serving
        with server.client() as client:
            found_ids(client, few)  # so that what searches need is in memory
            seen["resident bytes a vector", "B"] = (server.memory().pss - empty) / count
    seen["resident bytes a vector, after the build", "B"] = (after - empty) / count
    return seen


def _measure_scale(bench: Bench) -> Measured:
    return measure(bench, (bench.scale.records // 10, bench.scale.records))


def _measure_million(kind: str, bench: Bench) -> Measured:
    return measure(bench, (MILLION_RECORDS,), [kind])


ROW = Row("scale", "a tenth of the records, and all", _measure_scale)
MILLIONS = tuple(
    Row(
        f"million-{kind.lower()}",
        f"a million records, {kind}: up to an hour",
        partial(_measure_million, kind),
        by_name_only=True,
    )
    for kind in KINDS
)
