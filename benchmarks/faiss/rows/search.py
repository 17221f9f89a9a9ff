"""Searches through gRPC: one caller, many callers, and batches; beside a server that does nothing and Faiss without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
import numpy as np

from benchmarks.faiss.bench import COLLECTION, TOP_K, Bench, exact_ids, explained, recall
from benchmarks.faiss.callers import batch_requests, call_for, search_requests
from benchmarks.faiss.empty_server import empty_server
from benchmarks.faiss.raw_index import raw_index
from benchmarks.faiss.vectors import FloatMatrix
from benchmarks.result import Measured, Row, Verdict, at_least, at_most, figure, milliseconds
from benchmarks.server import ServerProcess
from benchmarks.statistics import percentile, ratios
from vecgate import IDS_ONLY, Client, Filter
from vecgate.v1.search_pb2 import SearchBatchRequest, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

CALLERS = 16
BATCH = 64
BATCH_CALLERS = 2
"""One a core, as raw Faiss has a thread a core."""


@dataclass(frozen=True, slots=True)
class _Requests:
    """What is asked in every round: one query, batches as columns, batches with texts and metadata."""

    single: list[bytes]
    batches: list[bytes]
    with_metadata: list[bytes]


def measure(bench: Bench) -> Measured:
    """Ask vecgate and what it is compared with in turns."""
    records, queries = bench.vectors.records, bench.vectors.queries
    few = queries[: bench.scale.recall_queries]
    exact = exact_ids(records, few)
    requests = _Requests(
        search_requests(COLLECTION, queries),
        batch_requests(COLLECTION, queries, BATCH),
        batch_requests(COLLECTION, queries, BATCH, SearchOptions(top_k=TOP_K)),
    )
    seen: dict[str, list[float]] = defaultdict(list)
    with bench.filled_server() as server, server.client() as client, raw_index(records) as raw:
        plan = explained(client)
        ef = int(plan["ef"])
        ours = recall(found_ids(client, few), exact)
        theirs = recall(raw.ids(few, ef=ef, top_k=TOP_K), exact)
        with empty_server(bench.work, _answers(server, requests)) as nothing:
            for _ in range(bench.scale.rounds):
                _round(bench, server.address, nothing, requests, seen)
                seconds = bench.scale.seconds
                rate = raw.rate(queries, ef=ef, top_k=TOP_K, batch=BATCH, seconds=seconds, threads=bench.cores)
                seen["batches, raw Faiss"].append(rate)
    return Measured(
        figures=tuple(
            milliseconds(name, rounds) if " p50" in name or " p99" in name else figure(name, "queries/s", rounds)
            for name, rounds in seen.items()
        ),
        verdicts=(*_verdicts(seen), at_least("recall@10", "share", [ours], 0.95)),
        notes=(
            f"{len(records)} vectors of 384 dimensions, top {TOP_K}, ids and scores as columns",
            f"the search: {dict(plan)}; raw Faiss has ef {ef} and recall {theirs:.4f}",
        ),
    )


def _round(bench: Bench, address: str, nothing: str, requests: _Requests, seen: Mapping[str, list[float]]) -> None:
    """Ask the empty handler and vecgate for one query after another, then vecgate for batches."""
    seconds = bench.scale.seconds
    for name, each in (("empty handler", nothing), ("vecgate", address)):
        alone = call_for(each, "Search", requests.single, callers=1, seconds=seconds)
        seen[f"one caller, p50, {name}"].append(percentile(alone.latencies, 50))
        many = call_for(each, "Search", requests.single, callers=CALLERS, seconds=seconds)
        seen[f"{CALLERS} callers, {name}"].append(many.rate)
        seen[f"{CALLERS} callers, p99, {name}"].append(percentile(many.latencies, 99))
    for name, batches in (("batches", requests.batches), ("batches with metadata", requests.with_metadata)):
        calls = call_for(address, "SearchBatch", batches, callers=BATCH_CALLERS, seconds=seconds)
        seen[f"{name}, vecgate"].append(calls.rate * BATCH)


def _verdicts(seen: Mapping[str, list[float]]) -> tuple[Verdict, ...]:
    above = [
        1000 * (ours - theirs)
        for ours, theirs in zip(seen["one caller, p50, vecgate"], seen["one caller, p50, empty handler"], strict=True)
    ]
    many = ratios(seen[f"{CALLERS} callers, vecgate"], seen[f"{CALLERS} callers, empty handler"])
    batches = ratios(seen["batches, vecgate"], seen["batches, raw Faiss"])
    return (
        at_least(f"batches of {BATCH}, share of raw Faiss", "x", batches, 0.4, 0.6),
        at_least(f"{CALLERS} callers, share of an empty handler", "x", many, 0.6, 0.8),
        at_most("one caller, p50 above an empty handler", "ms", above, 1.0),
    )


def found_ids(client: Client, queries: FloatMatrix, chosen: Filter | None = None) -> list[list[str]]:
    """Return what the default search finds for each query."""
    found = []
    for begin in range(0, len(queries), 100):
        lot = np.ascontiguousarray(queries[begin : begin + 100])
        results = client.search_batch(COLLECTION, lot, top_k=TOP_K, fields=IDS_ONLY, filter=chosen).results()
        found.extend([[match.id for match in result.matches] for result in results])
    return found


def _answers(server: ServerProcess, requests: _Requests) -> dict[str, bytes]:
    """Return what the server answers to one request of each method."""
    with grpc.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        return {
            "Search": stub.Search(SearchRequest.FromString(requests.single[0])).SerializeToString(),
            "SearchBatch": stub.SearchBatch(SearchBatchRequest.FromString(requests.batches[0])).SerializeToString(),
        }


ROW = Row("search", "searches by vector through gRPC", measure)
