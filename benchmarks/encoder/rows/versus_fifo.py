"""Queries beside bulk, here and in a plain queue of whole batches over the same fast runtime."""

from __future__ import annotations

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.fifo import BATCH, FifoQueue
from benchmarks.encoder.load import asking, bulk_load, seconds_of_calls_for
from benchmarks.result import Measured, Row, at_least, figure, milliseconds
from benchmarks.statistics import percentile, ratios


def measure(bench: Bench) -> Measured:
    """Ask one query after another while documents are encoded: the server, then the queue, in turns."""
    queries, documents, seconds = bench.texts.queries, bench.texts.documents, bench.scale.seconds
    served: dict[int, list[float]] = {50: [], 99: []}
    queued: dict[int, list[float]] = {50: [], 99: []}
    rates: list[float] = []
    with bench.warm_server() as server, server.client() as client, FifoQueue(bench) as fifo:
        for _ in range(bench.scale.rounds):
            with bulk_load(server.address, documents):
                ours = seconds_of_calls_for(asking(client, queries), seconds=seconds)
            theirs, rate = fifo.seconds_of_queries_beside(documents, queries, seconds)
            rates.append(rate)
            for q in (50, 99):
                served[q].append(percentile(ours, q))
                queued[q].append(percentile(theirs, q))
    return Measured(
        figures=(
            milliseconds("server, query p50", served[50]),
            milliseconds("server, query p99", served[99]),
            milliseconds("queue, query p50", queued[50]),
            milliseconds("queue, query p99", queued[99]),
            figure("queue, bulk", "texts/s", rates),
        ),
        verdicts=(
            at_least("times better, p50", "x", ratios(queued[50], served[50]), 40, 80),
            at_least("times better, p99", "x", ratios(queued[99], served[99]), 1),
        ),
        notes=(
            (
                f"the queue: the same graph in process, without gRPC, documents in batches of {BATCH} as they come, one batch "
                "running and one waiting"
            ),
        ),
    )


ROW = Row("fifo", "queries beside bulk against a FIFO of whole batches of 32", measure)
