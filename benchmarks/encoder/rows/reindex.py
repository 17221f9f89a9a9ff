"""Writing a corpus again of which little has changed."""

from __future__ import annotations

import time

from benchmarks.encoder.bench import Bench
from benchmarks.result import Measured, Row, at_least, figure
from benchmarks.statistics import ratios
from vecgate import Client, Record

# One record in twenty.
CHANGED_EVERY = 20


def measure(bench: Bench) -> Measured:
    """Upsert the corpus into a new collection, then again with 5 % of its texts changed, the cache of texts off."""
    documents = bench.texts.documents
    changed = [f"{text}\nRevised." if number % CHANGED_EVERY == 0 else text for number, text in enumerate(documents)]
    first: list[float] = []
    again: list[float] = []
    with bench.warm_server() as server, server.client() as client:
        for number in range(bench.scale.rounds):
            collection = f"corpus-{number}"
            client.create_collection(collection)
            first.append(_upsert(client, collection, documents))
            again.append(_upsert(client, collection, changed))
    return Measured(
        figures=(figure("first index", "s", first), figure("the same, 95 % unchanged", "s", again)),
        verdicts=(at_least("times faster", "x", ratios(first, again), 10),),
        notes=(f"{len(documents)} records, each round into a new collection on disk, answered when searchable",),
    )


def _upsert(client: Client, collection: str, texts: tuple[str, ...] | list[str]) -> float:
    records = [Record(str(number), text) for number, text in enumerate(texts)]
    began = time.perf_counter()
    result = client.upsert(collection, records, truncation="truncate")
    seconds = time.perf_counter() - began
    if result.failures or client.count(collection) != len(texts):
        raise RuntimeError(f"{len(result.failures)} records were not stored")
    return seconds


ROW = Row("reindex", "re-index of a corpus with 95 % unchanged text", measure)
