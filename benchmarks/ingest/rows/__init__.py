"""Every measurement, one subject a file."""

from __future__ import annotations

from benchmarks.ingest.bench import Bench
from benchmarks.ingest.rows import endless, texts, vectors
from benchmarks.result import Row

ROWS: dict[str, Row[Bench]] = {row.name: row for row in (texts.ROW, vectors.ROW, endless.ROW)}
"""The rows by name, in the order they run."""
