"""One short text at a time, one caller."""

from __future__ import annotations

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.result import Measured, Row, at_least, milliseconds
from benchmarks.statistics import percentile, ratios

# A machine that others use too changes its speed within seconds: what is compared has to lie close together.
TURNS_A_ROUND = 5


def measure(bench: Bench) -> Measured:
    """Encode short lines one by one: the server through its client, then SentenceTransformer in process, in short turns."""
    scale = bench.scale
    calls = scale.calls // TURNS_A_ROUND
    served: dict[int, list[float]] = {50: [], 99: []}
    reference: dict[int, list[float]] = {50: [], 99: []}
    with bench.warm_server() as server, server.client() as client, bench.reference() as model:
        seconds_of_calls(asking(client, bench.texts.queries), calls=calls)
        for number in range(scale.rounds * TURNS_A_ROUND):
            start = number * calls
            ours = seconds_of_calls(asking(client, bench.texts.queries, start), calls=calls)
            texts = [bench.texts.queries[(start + call) % scale.queries] for call in range(calls)]
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
        notes=(f"{calls} calls a turn, distinct texts",),
    )


ROW = Row("single", "one short text at a time through gRPC, fp32", measure)
