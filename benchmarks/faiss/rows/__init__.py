"""Every measurement, one subject a file."""

from __future__ import annotations

from benchmarks.faiss.bench import Bench
from benchmarks.faiss.rows import search
from benchmarks.result import Row

ROWS: dict[str, Row[Bench]] = {row.name: row for row in (search.ROW,)}
"""The rows by name, in the order they run."""
