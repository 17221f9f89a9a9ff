"""Records into a collection, with word of each batch: what upsert() does, told step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from vecgate.client import Client
from vecgate.records import Record, Truncation
from vecgate.results import RecordFailure


@dataclass(frozen=True, slots=True)
class UpsertProgress:
    """How far an upsert came: `finished` records from the beginning are known to be stored, or failed."""

    sent: int
    finished: int
    stored: int
    failures: tuple[RecordFailure, ...]
    reused: int
    truncated: tuple[str, ...]
    reconnects: int = 0


def upsert_many(
    client: Client,
    collection: str,
    records: Iterable[Record],
    *,
    on_progress: Callable[[UpsertProgress], None],
    batch_size: int,
    namespace: str = "",
    truncation: Truncation = "error",
    vector_fingerprint: str | None = None,
    timeout: float | None = None,
) -> None:
    """Store records in requests of `batch_size`, and tell the progress after each."""
    finished = stored = reused = 0
    remaining = iter(records)
    while batch := list(islice(remaining, batch_size)):
        result = client.upsert(
            collection,
            batch,
            namespace=namespace,
            truncation=truncation,
            vector_fingerprint=vector_fingerprint,
            timeout=timeout,
        )
        failures = tuple(RecordFailure(finished + each.index, each.id, each.error) for each in result.failures)
        finished, stored, reused = finished + len(batch), stored + result.stored, reused + result.reused
        on_progress(UpsertProgress(finished, finished, stored, failures, reused, result.truncated))
