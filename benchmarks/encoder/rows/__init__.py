"""Every measurement, one subject a file."""

from __future__ import annotations

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.rows import (
    bulk,
    cache,
    concurrent_texts,
    gpu,
    models,
    overload,
    quality,
    queries_beside_bulk,
    reindex,
    search_beside_bulk,
    single_text,
    versus_fifo,
    warm_start,
    workers,
)
from benchmarks.result import Row

ROWS: dict[str, Row[Bench]] = {
    row.name: row
    for row in (
        single_text.ROW,
        concurrent_texts.ROW,
        bulk.FP32,
        bulk.INT8,
        queries_beside_bulk.ROW,
        versus_fifo.ROW,
        warm_start.ROW,
        overload.ROW,
        reindex.ROW,
        search_beside_bulk.ROW,
        workers.ROW,
        cache.ROW,
        gpu.ROW,
        models.ROW,
        quality.ROW,
    )
}
"""The rows by name, in the order they run."""
