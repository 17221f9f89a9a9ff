"""Statistics of one metadata field, counted from the metadata of records; what answers.FieldStats describes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vecgate_backends.answers import FieldStats
from vecgate_backends.filters import ValueKey, value_keys
from vecgate_backends.records import Metadata, Timestamp


def describe_field(rows: Iterable[Metadata], field: str, limit: int) -> FieldStats:
    """Count the distinct values of `field`, one row a record; at most `limit` of them are listed, `distinct` counts all."""
    records = list(rows)
    stored = [metadata[field] for metadata in records if field in metadata]
    counts: Counter[ValueKey] = Counter(key for value in stored for key in set(value_keys(value)))
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    numbers = [value for value in stored if isinstance(value, int | float) and not isinstance(value, bool)]
    timestamps = [value for value in stored if isinstance(value, Timestamp)]
    return FieldStats(
        values=[(value, count) for (_, value), count in ranked[:limit]],
        distinct=len(counts),
        present=len(stored),
        missing=len(records) - len(stored),
        numbers=(min(numbers), max(numbers)) if numbers else None,
        timestamps=(min(timestamps), max(timestamps)) if timestamps else None,
    )
