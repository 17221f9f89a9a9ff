"""Records that bring their vectors."""

from __future__ import annotations

from benchmarks.faiss.vectors import real_vectors
from benchmarks.ingest.bench import Bench, compare
from benchmarks.result import Measured, Row
from benchmarks.server import serving
from vecgate import Record


def measure(bench: Bench) -> Measured:
    """Both ways into a Faiss store, durably and searchable."""
    vectors = real_vectors(bench.data).first(bench.scale.vectors)
    records = [
        Record(str(row), vector=vector, metadata={"category": str(category), "row": row})
        for row, (vector, category) in enumerate(zip(vectors.records, vectors.categories, strict=True))
    ]
    with serving(bench.work, models={"preload": []}) as server, server.client() as client:
        figures, verdicts = compare(client, lambda: records, bench.scale.rounds, 1.3, vectors.records.shape[1])
    return Measured(tuple(figures), tuple(verdicts))


ROW = Row("vectors", "records with vectors and metadata, over a stream and in a loop of calls", measure)
