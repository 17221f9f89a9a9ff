"""What tests are made of: vectors, batches, and short ways to write and to read everything back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from vecgate_backends.answers import WriteResult
from vecgate_backends.contract import Collection, Everything, SearchOptions
from vecgate_backends.filters import Filter
from vecgate_backends.records import (
    NO_METADATA,
    Acknowledgement,
    Fields,
    FloatMatrix,
    Metadata,
    MetadataValue,
    Record,
    RecordBatch,
    WriteMode,
)

DIMENSION = 6
ALL_FIELDS = Fields(text=True, metadata=True, vector=True)

TypedMetadata: TypeAlias = dict[str, tuple[str, str]]


def random_vectors(count: int, dimension: int = DIMENSION, *, seed: int = 0) -> FloatMatrix:
    """Return normally distributed vectors, shape (count, dimension), the same for the same seed."""
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


def axis(position: int, length: float = 1.0) -> FloatMatrix:
    """Return one vector along an axis, shape (1, DIMENSION)."""
    vector = np.zeros((1, DIMENSION), np.float32)
    vector[0, position] = length
    return vector


def batch_of(
    ids: Sequence[str],
    *,
    vectors: FloatMatrix | None = None,
    texts: Sequence[str | None] | None = None,
    metadata: Sequence[Metadata] | None = None,
    encoding_stamps: Sequence[bytes] = (),
) -> RecordBatch:
    """Build a batch; what is left out is random vectors, no text, no metadata, no encoding stamps."""
    return RecordBatch(
        ids=ids,
        vectors=random_vectors(len(ids)) if vectors is None else vectors,
        texts=[None] * len(ids) if texts is None else texts,
        metadata=[NO_METADATA] * len(ids) if metadata is None else metadata,
        encoding_stamps=encoding_stamps,
    )


async def upsert(
    collection: Collection,
    batch: RecordBatch,
    *,
    namespace: str = "",
    mode: WriteMode = WriteMode.UPSERT,
    acknowledgement: Acknowledgement = Acknowledgement.SEARCHABLE,
) -> WriteResult:
    """Write a batch, whatever becomes of it."""
    return await collection.upsert(namespace, batch, mode=mode, acknowledgement=acknowledgement)


async def store_records(
    collection: Collection,
    ids: Sequence[str],
    *,
    namespace: str = "",
    vectors: FloatMatrix | None = None,
    texts: Sequence[str | None] | None = None,
    metadata: Sequence[Metadata] | None = None,
) -> WriteResult:
    """Write records, and insist that every one was stored and can be searched."""
    result = await upsert(
        collection, batch_of(ids, vectors=vectors, texts=texts, metadata=metadata), namespace=namespace
    )
    assert list(result.errors) == [None] * len(ids)
    return result


async def list_all(
    collection: Collection, node: Filter | None = None, *, namespace: str = "", page_size: int = 1_000
) -> list[Record]:
    """Page to the end of a listing and return every record with all its fields."""
    records: list[Record] = []
    cursor: str | None = None
    while True:
        page = await collection.list_records(namespace, node, cursor=cursor, limit=page_size, fields=ALL_FIELDS)
        assert len(page.records) <= page_size
        records.extend(page.records)
        if page.cursor is None:
            return records
        cursor = page.cursor


async def listed_ids(collection: Collection, node: Filter | None = None, *, namespace: str = "") -> list[str]:
    """Return the ids of every record that matches, sorted."""
    return sorted(record.id for record in await list_all(collection, node, namespace=namespace))


async def found_ids(
    collection: Collection, node: Filter | None = None, *, namespace: str = "", exact: bool = False
) -> list[str]:
    """Return the ids that a search without a bound on their number finds, sorted."""
    options = SearchOptions(top_k=10_000, filter=node, exact=exact)
    (hits,) = await collection.search(namespace, random_vectors(1, collection.spec.dimension, seed=99), options)
    return sorted(hits.ids)


async def read(collection: Collection, record_id: str, *, namespace: str = "") -> Record:
    """Return one record that must be there, with all its fields."""
    (record,) = await collection.get(namespace, [record_id], ALL_FIELDS)
    assert record is not None
    return record


async def count_all(collection: Collection, *, namespace: str = "") -> int:
    """Count the records of a namespace."""
    return await collection.count(namespace, Everything())


def typed(metadata: Metadata) -> TypedMetadata:
    """Return metadata in a form in which 1, 1.0 and True differ, and 0.0 and -0.0."""
    return {name: (type(value).__name__, repr(value)) for name, value in metadata.items()}


EXTREME_VALUES: tuple[MetadataValue, ...] = (
    "",
    'it\'s "quoted", \\escaped\\ and\nbroken\tup',
    "日本語 🐈 e\u0301 é",
    "x" * 10_000,
    0,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    0.1,
    1.0,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    True,
    False,
    (),
    ("",),
    ("b", "a", "a"),
)
