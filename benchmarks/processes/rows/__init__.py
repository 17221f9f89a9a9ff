"""Every measurement, one subject a file."""

from __future__ import annotations

from benchmarks.processes.bench import Bench
from benchmarks.processes.rows import searches
from benchmarks.result import Row

ROWS: dict[str, Row[Bench]] = {row.name: row for row in (searches.BY_VECTOR, searches.BY_TEXT)}
"""The rows by name, in the order they run."""
