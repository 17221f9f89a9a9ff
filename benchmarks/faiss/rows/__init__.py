"""Every measurement, one subject a file."""

from __future__ import annotations

from benchmarks.faiss.bench import Bench
from benchmarks.faiss.rows import chroma, churn, filtered, scale, search, upserts
from benchmarks.result import Row

ROWS: dict[str, Row[Bench]] = {
    row.name: row
    for row in (
        search.ROW,
        chroma.ROW,
        filtered.ROW,
        upserts.GROUP_COMMIT,
        upserts.BACKLOG,
        churn.ROW,
        scale.ROW,
        *scale.MILLIONS,
    )
}
"""The rows by name, in the order they run."""
