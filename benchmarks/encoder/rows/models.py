"""The rate of the models that are known by name, relative to the default one.

Only all-MiniLM-L6-v2 can be had without a network. What a model costs hangs on its shape and not on its weights, so the
others are built here at full size with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import asking, seconds_of_calls
from benchmarks.encoder.random_models import SHAPES, build_random_model
from benchmarks.encoder.rows.bulk import seconds_of_bulk
from benchmarks.result import Measured, Row, figure, milliseconds
from benchmarks.server import MIB
from benchmarks.statistics import percentile, ratios, spread

REAL = "all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was measured of one model, a value a round: documents/s, seconds of a query (p50), MiB of the server (PSS)."""

    rates: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(bench: Bench) -> Measured:
    """Encode the same documents and queries with each model, in turns, one server for each."""
    documents = bench.texts.documents[: bench.scale.documents_a_model]
    seen = {name: _Seen() for name in (REAL, *SHAPES)}
    paths = {name: build_random_model(name, bench.work / "random" / name) for name in SHAPES}
    for _ in range(bench.scale.rounds):
        for name, model in seen.items():
            path = str(paths[name]) if name in paths else None
            models = {"default": name, "available": [{"name": name, "path": path}]}
            with bench.server(models=models) as server, server.client() as client:
                model.memory.append(server.memory().pss / MIB)
                client.encode(documents[:16], "document")
                model.rates.append(len(documents) / seconds_of_bulk(client, documents))
                calls = seconds_of_calls(asking(client, bench.texts.queries), calls=bench.scale.calls)
                model.single.append(percentile(calls, 50))
    return _sum_up(seen, len(documents))


def _sum_up(seen: Mapping[str, _Seen], documents: int) -> Measured:
    relative = {name: ratios(model.rates, seen[REAL].rates) for name, model in seen.items()}
    return Measured(
        figures=tuple(
            each
            for name, model in seen.items()
            for each in (
                figure(f"{name}: bulk", "texts/s", model.rates),
                figure(f"{name}: bulk to {REAL}", "x", relative[name]),
                milliseconds(f"{name}: single text, p50", model.single),
                figure(f"{name}: memory of the server (PSS)", "MiB", model.memory),
            )
        ),
        notes=(
            (
                f"all but {REAL} at full size with random weights and an English vocabulary: rates, not quality; "
                f"{documents} documents, each model cutting them at its own length"
            ),
        ),
        markdown=(
            "| model | documents/s | relative | one query, ms | memory of the server, MiB |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {name} | {spread(model.rates).median:.0f} | {spread(relative[name]).median:.2f} "
                f"| {1000 * spread(model.single).median:.1f} | {spread(model.memory).median:.0f} |"
                for name, model in seen.items()
            ),
        ),
    )


ROW = Row("models", "the models known by name", measure)
