"""A batch of records as upsert requests that Pinecone takes: at most 1,000 vectors and 2 MB each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vecgate_backends.pinecone.record_codec import EncodedRecord

MOST_VECTORS = 1_000
MOST_BYTES = 1_900_000
"""Below the 2 MB that Pinecone takes, by what surrounds the vectors."""


def requests_of(
    records: Sequence[EncodedRecord], *, most_vectors: int = MOST_VECTORS, most_bytes: int = MOST_BYTES
) -> Iterator[Sequence[EncodedRecord]]:
    """Cut records, in order, into runs that fit one request; a record that is too large alone is a run of its own."""
    start, size = 0, 0
    for position, record in enumerate(records):
        if position > start and (size + record.size > most_bytes or position - start == most_vectors):
            yield records[start:position]
            start, size = position, 0
        size += record.size
    if start < len(records):
        yield records[start:]
