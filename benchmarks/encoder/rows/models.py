"""The rate of the models that are known by name, relative to the default one.

Only all-MiniLM-L6-v2 can be had without a network. What a model costs hangs on its shape and not on its weights, so the
others are built here at full size with random weights.
"""

from __future__ import annotations

from collections import defaultdict

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.encoder.random_models import SHAPES, build_random_model
from benchmarks.encoder.result import Measured, Row, figure, milliseconds
from benchmarks.encoder.rows.bulk import seconds_of_bulk
from benchmarks.encoder.server import MIB
from benchmarks.statistics import percentile, ratios, spread

REAL = "all-MiniLM-L6-v2"


def measure(bench: Bench) -> Measured:
    """Encode the same documents and queries with each model, in turns, one server for each."""
    documents = bench.texts.documents[: bench.scale.documents_a_model]
    rates: dict[str, list[float]] = defaultdict(list)
    single: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    paths = {name: build_random_model(name, bench.work / "random" / name) for name in SHAPES}
    for _ in range(bench.scale.rounds):
        for name in (REAL, *SHAPES):
            path = str(paths[name]) if name in paths else None
            models = {"default": name, "available": [{"name": name, "path": path}]}
            with bench.server(models=models) as server, server.client() as client:
                memory[name].append(server.memory().pss / MIB)
                client.encode(documents[:16], "document")
                rates[name].append(len(documents) / seconds_of_bulk(client, documents))
                calls = seconds_of_calls(asking(client, bench.texts.queries), calls=bench.scale.calls)
                single[name].append(percentile(calls, 50))
    lines = [
        f"| {name} | {spread(rates[name]).median:.0f} | {spread(ratios(rates[name], rates[REAL])).median:.2f} "
        f"| {1000 * spread(single[name]).median:.1f} | {spread(memory[name]).median:.0f} |"
        for name in (REAL, *SHAPES)
    ]
    return Measured(
        figures=tuple(
            each
            for name in (REAL, *SHAPES)
            for each in (
                figure(f"{name}: bulk", "texts/s", rates[name]),
                figure(f"{name}: bulk to {REAL}", "x", ratios(rates[name], rates[REAL])),
                milliseconds(f"{name}: single text, p50", single[name]),
                figure(f"{name}: memory of the server (PSS)", "MiB", memory[name]),
            )
        ),
        notes=(
            (
                f"all but {REAL} at full size with random weights and an English vocabulary: rates, not quality; "
                f"{len(documents)} documents, each model cutting them at its own length"
            ),
        ),
        markdown=(
            "| model | documents/s | relative | one query, ms | memory of the server, MiB |",
            "| --- | --- | --- | --- | --- |",
            *lines,
        ),
    )


ROW = Row("models", "the models known by name", measure)
