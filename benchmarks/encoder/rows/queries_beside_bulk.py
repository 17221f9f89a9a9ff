"""Single queries while documents are encoded without a pause, and what that costs the documents."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, bulk_load, seconds_of_calls_for
from benchmarks.result import Measured, Row, Verdict, at_least, at_most, figure, milliseconds
from benchmarks.server import ServerProcess
from benchmarks.statistics import percentile, ratios

PAUSE_SECONDS = 0.05
# The rates of two windows of the same load differ by some percent with the texts that fall into them.
SAME_RATE = 0.95


def measure(bench: Bench) -> Measured:
    """Ask an idle server; saturate it; ask it one query after another, and with a pause between them."""
    seen: dict[str, list[float]] = defaultdict(list)
    with bench.warm_server() as server:
        for _ in range(bench.scale.rounds):
            for name, value in _round(bench, server).items():
                seen[name].append(value)
    queries = [name for name in seen if name.startswith("query")]
    rates = [name for name in seen if name.startswith("bulk") and not name.endswith("tokens")]
    return Measured(
        figures=(
            *(milliseconds(name, seen[name]) for name in queries),
            *(figure(name, "texts/s", seen[name]) for name in rates),
        ),
        verdicts=_verdicts(seen),
        notes=(
            f"windows of {bench.scale.seconds:g} s; rates are compared in tokens; pause {PAUSE_SECONDS * 1000:g} ms",
        ),
    )


def _verdicts(seen: Mapping[str, Sequence[float]]) -> tuple[Verdict, ...]:
    slower = {q: ratios(seen[f"query beside bulk, p{q}"], seen[f"query idle, p{q}"]) for q in (50, 99)}
    alone = seen["bulk, no query, tokens"]
    kept = ratios(seen["bulk, queries, tokens"], alone)
    kept_paused = ratios(seen["bulk, paused queries, tokens"], alone)
    undisturbed = ratios(alone, seen["bulk, one caller, tokens"])
    return (
        at_most("p50 beside bulk to p50 idle", "x", slower[50], 6, 3),
        at_most("p99 beside bulk to p99 idle", "x", slower[99], 25, 10),
        at_least("bulk kept, queries back to back", "", kept, 0.5),
        at_least("bulk kept, a pause between queries", "", kept_paused, 0.5),
        at_least("bulk with no query to the bulk of row bulk", "", undisturbed, SAME_RATE),
    )


def _round(bench: Bench, server: ServerProcess) -> dict[str, float]:
    documents, seconds = bench.texts.documents, bench.scale.seconds
    windows: dict[str, tuple[float, float]] = {}
    latencies: dict[str, list[float]] = {}

    @contextmanager
    def window(name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        windows[name] = began, time.monotonic()

    with server.client() as client:
        ask = asking(client, bench.texts.queries)
        began = time.monotonic()
        one_caller = client.encode(documents, "document").tokens.sum() / (time.monotonic() - began)
        latencies["query idle"] = seconds_of_calls_for(ask, seconds=seconds / 2)
        latencies["query idle, paused"] = seconds_of_calls_for(ask, seconds=seconds / 2, pause=PAUSE_SECONDS)
        with bulk_load(server.address, documents) as load:
            with window("bulk, no query"):
                time.sleep(seconds)
            with window("bulk, queries"):
                latencies["query beside bulk"] = seconds_of_calls_for(ask, seconds=seconds)
            with window("bulk, paused queries"):
                latencies["query beside bulk, paused"] = seconds_of_calls_for(ask, seconds=seconds, pause=PAUSE_SECONDS)
    return {
        **{f"{name}, p{q}": percentile(times, q) for name, times in latencies.items() for q in (50, 99)},
        **{name: load.texts_a_second(*times) for name, times in windows.items()},
        **{f"{name}, tokens": load.tokens_a_second(*times) for name, times in windows.items()},
        "bulk, one caller, tokens": float(one_caller),
    }


ROW = Row("queries-beside-bulk", "single queries during a saturating bulk encode, fp32", measure)
