"""What a process of its own costs a model, and whether more of them pay."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.fifo import FifoQueue
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.encoder.rows.bulk import seconds_of_bulk
from benchmarks.result import Measured, Row, figure, milliseconds
from benchmarks.server import MIB
from benchmarks.statistics import percentile

MICRO_BATCH_TOKENS = 512


def measure(bench: Bench) -> Measured:
    """Take turns: the graph in process without a server; one worker with every core; a worker a core."""
    scale, documents = bench.scale, bench.texts.documents
    queries = bench.texts.queries[: scale.calls]
    shapes = {
        f"1 worker x {bench.cores} threads": {"workers": 1, "threads": bench.cores},
        f"{bench.cores} workers x 1 thread": {"workers": bench.cores, "threads": 1},
    }
    rates: dict[str, list[float]] = defaultdict(list)
    single: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    with FifoQueue(bench) as in_process:
        for _ in range(scale.rounds):
            name = "in process, no gRPC"
            rates[name].append(len(documents) / in_process.seconds_of_sorted(documents, MICRO_BATCH_TOKENS))
            single[name].append(percentile(in_process.seconds_of_single_texts(queries), 50))
            for name, shape in shapes.items():
                with bench.warm_server(**shape) as server, server.client() as client:
                    rates[name].append(len(documents) / seconds_of_bulk(client, documents))
                    single[name].append(percentile(seconds_of_calls(asking(client, queries), calls=scale.calls), 50))
                    memory[name].append(server.memory().pss / MIB)
    return Measured(
        figures=(
            *(figure(f"{name}: bulk", "texts/s", rounds) for name, rounds in rates.items()),
            *(milliseconds(f"{name}: single text, p50", rounds) for name, rounds in single.items()),
            *(figure(f"{name}: memory after it (PSS)", "MiB", rounds) for name, rounds in memory.items()),
        ),
        notes=(f"in process: the same graph, texts sorted by length, {MICRO_BATCH_TOKENS} padded tokens a batch",),
    )


ROW = Row("workers", "in process, one worker, a worker a core", measure)
