"""Searches through gRPC: one caller, many callers, and batches; beside a server that does nothing and Faiss without one."""

from __future__ import annotations

import numpy as np

from benchmarks.faiss.bench import COLLECTION, TOP_K, Bench, exact_ids, explained, recall
from benchmarks.faiss.callers import batch_requests, call_for, search_requests
from benchmarks.faiss.empty_server import empty_server
from benchmarks.faiss.raw_index import raw_index
from benchmarks.faiss.vectors import FloatMatrix
from benchmarks.result import Measured, Row, at_least, at_most, figure, milliseconds
from benchmarks.server import ServerProcess
from benchmarks.statistics import percentile, ratios
from vecgate import IDS_ONLY, Client, Filter
from vecgate.v1.search_pb2 import SearchBatchRequest, SearchOptions, SearchRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

CALLERS = 16
BATCH = 64


def measure(bench: Bench) -> Measured:
    """Ask vecgate and what it is compared with in turns."""
    records, queries = bench.vectors.records, bench.vectors.queries
    seen: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        seen.setdefault(name, []).append(value)

    single = search_requests(COLLECTION, queries)
    batches = batch_requests(COLLECTION, queries, BATCH)
    with_metadata = batch_requests(COLLECTION, queries, BATCH, SearchOptions(top_k=TOP_K))
    with bench.filled_server() as server, server.client() as client, raw_index(records) as raw:
        plan = explained(client)
        few = queries[: bench.scale.recall_queries]
        exact = exact_ids(records, few)
        ours = recall(found_ids(client, few), exact)
        ef = int(plan["ef"])
        theirs = recall(raw.ids(few, ef=ef, top_k=TOP_K), exact)
        with empty_server(bench.work, _answers(server, single[0], batches[0])) as nothing:
            for _ in range(bench.scale.rounds):
                for name, address in (("empty handler", nothing), ("vecgate", server.address)):
                    alone = call_for(address, "Search", single, callers=1, seconds=bench.scale.seconds)
                    note(f"one caller, p50, {name}", percentile(alone.latencies, 50))
                    many = call_for(address, "Search", single, callers=CALLERS, seconds=bench.scale.seconds)
                    note(f"{CALLERS} callers, {name}", many.rate)
                    note(f"{CALLERS} callers, p99, {name}", percentile(many.latencies, 99))
                lots = call_for(server.address, "SearchBatch", batches, callers=2, seconds=bench.scale.seconds)
                note("batches, vecgate", lots.rate * BATCH)
                lots = call_for(server.address, "SearchBatch", with_metadata, callers=2, seconds=bench.scale.seconds)
                note("batches with metadata, vecgate", lots.rate * BATCH)
                raw_rate = raw.rate(
                    queries, ef=ef, top_k=TOP_K, batch=BATCH, seconds=bench.scale.seconds, threads=bench.cores
                )
                note("batches, raw Faiss", raw_rate)
    return Measured(
        figures=tuple(
            milliseconds(name, rounds) if " p50" in name or " p99" in name else figure(name, "queries/s", rounds)
            for name, rounds in seen.items()
        ),
        verdicts=(
            at_least(
                f"batches of {BATCH}, share of raw Faiss",
                "x",
                ratios(seen["batches, vecgate"], seen["batches, raw Faiss"]),
                0.4,
                0.6,
            ),
            at_least(
                f"{CALLERS} callers, share of an empty handler",
                "x",
                ratios(seen[f"{CALLERS} callers, vecgate"], seen[f"{CALLERS} callers, empty handler"]),
                0.6,
                0.8,
            ),
            at_most(
                "one caller, p50 above an empty handler",
                "ms",
                [
                    1000 * (ours - theirs)
                    for ours, theirs in zip(
                        seen["one caller, p50, vecgate"], seen["one caller, p50, empty handler"], strict=True
                    )
                ],
                1.0,
            ),
            at_least("recall@10", "share", [ours], 0.95),
        ),
        notes=(
            f"{len(records)} vectors of 384 dimensions, top {TOP_K}, ids and scores as columns",
            f"the search: {dict(plan)}; raw Faiss has ef {ef} and recall {theirs:.4f}",
        ),
    )


def found_ids(client: Client, queries: FloatMatrix, chosen: Filter | None = None) -> list[list[str]]:
    """Return what the default search finds for each query."""
    found = []
    for begin in range(0, len(queries), 100):
        lot = np.ascontiguousarray(queries[begin : begin + 100])
        results = client.search_batch(COLLECTION, lot, top_k=TOP_K, fields=IDS_ONLY, filter=chosen).results()
        found.extend([[match.id for match in result.matches] for result in results])
    return found


def _answers(server: ServerProcess, single: bytes, batch: bytes) -> dict[str, bytes]:
    """Return what the server answers to one request of each method."""
    import grpc  # noqa: PLC0415  # for this alone

    with grpc.insecure_channel(server.address) as channel:
        stub = VectorSearchServiceStub(channel)
        return {
            "Search": stub.Search(SearchRequest.FromString(single)).SerializeToString(),
            "SearchBatch": stub.SearchBatch(SearchBatchRequest.FromString(batch)).SerializeToString(),
        }


ROW = Row("search", "searches by vector through gRPC", measure)
