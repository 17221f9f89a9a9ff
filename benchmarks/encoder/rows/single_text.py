"""One short text at a time, one caller."""

from __future__ import annotations

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.encoder.result import Measured, Row, at_least, milliseconds
from benchmarks.statistics import percentile, ratios


def measure(bench: Bench) -> Measured:
    """Encode short lines one by one: the server through its client, then SentenceTransformer in process, in turns."""
    scale = bench.scale
    served: dict[int, list[float]] = {50: [], 99: []}
    reference: dict[int, list[float]] = {50: [], 99: []}
    with bench.warm_server() as server, server.client() as client, bench.reference() as model:
        seconds_of_calls(asking(client, bench.texts.queries), calls=scale.calls // 4)
        for number in range(scale.rounds):
            start = number * scale.calls
            ours = seconds_of_calls(asking(client, bench.texts.queries, start), calls=scale.calls)
            texts = [bench.texts.queries[(start + call) % scale.queries] for call in range(scale.calls)]
            theirs = model.seconds_of_single_texts(texts)
            for q in (50, 99):
                served[q].append(percentile(ours, q))
                reference[q].append(percentile(theirs, q))
    return Measured(
        figures=(
            milliseconds("server, p50", served[50]),
            milliseconds("server, p99", served[99]),
            milliseconds("SentenceTransformer.encode, p50", reference[50]),
            milliseconds("SentenceTransformer.encode, p99", reference[99]),
        ),
        verdicts=(at_least("times faster, p50", "x", ratios(reference[50], served[50]), 2.5),),
        notes=(f"{scale.calls} calls a round, distinct texts",),
    )


ROW = Row("single", "one short text at a time through gRPC, fp32", measure)
