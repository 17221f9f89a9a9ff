"""What a caller hands in: records, queries and choices. Frozen dataclasses; vectors are anything NumPy takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecgate.filters import Filter
from vecgate.timestamps import Timestamp

Metric: TypeAlias = Literal["cosine", "dot", "euclidean"]
Role: TypeAlias = Literal["query", "document"]
WriteMode: TypeAlias = Literal["upsert", "insert", "update"]
Acknowledgement: TypeAlias = Literal["durable", "searchable"]
Truncation: TypeAlias = Literal["error", "truncate"]
Quantization: TypeAlias = Literal["none", "scalar8"]

MetadataValue: TypeAlias = str | int | float | bool | Timestamp | tuple[str, ...]
"""A metadata value as it comes back: with the type it went in with."""
MetadataInput: TypeAlias = str | int | float | bool | Timestamp | datetime | Sequence[str] | np.generic | None
"""A metadata value as it may go in: aware datetimes become Timestamps, NumPy scalars the Python type, None is dropped."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record to write; it needs text, vector or both.

    Attributes:
        id: 1 to 512 bytes of UTF-8, unique in its namespace.
        text: encoded by the server with the collection's model when there is no vector. Empty text is text.
        vector: shape (dimension,), finite; under COSINE not zero. Sent as float32.
        metadata: field name → value; None values are dropped.
    """

    id: str
    text: str | None = None
    vector: ArrayLike | None = None
    metadata: Mapping[str, MetadataInput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ById:
    """A query that is a stored record: its neighbours are searched, itself left out."""

    id: str


Query: TypeAlias = str | ById | ArrayLike
"""Text, a stored record, or a vector of shape (dimension,)."""


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """A query of a batch with choices of its own; what is None is as for the whole batch.

    Attributes:
        query: as in search().
        filter: stands in the place of the batch's filter.
        rerank_query: stands in the place of Rerank.query.
    """

    query: Query
    filter: Filter | str | None = None
    rerank_query: str | None = None


@dataclass(frozen=True, slots=True)
class Rerank:
    """A second opinion on the first matches, by a cross-encoder.

    Attributes:
        model: the cross-encoder.
        depth: how many first matches it scores, 1 to the server's max_top_k; None: the larger of top_k and 50.
        query: the text that matches are scored against; None: the query's own, so a query by vector or id needs it.
    """

    model: str
    depth: int | None = None
    query: str | None = None


Queries: TypeAlias = Sequence[Query | BatchQuery] | NDArray[Any]
"""Queries of a batch, or the rows of a matrix of shape (queries, dimension)."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Which parts of a record to return beside its id. `metadata`: all (True), none (False), or the fields named."""

    text: bool = True
    metadata: bool | Sequence[str] = True
    vector: bool = False


TEXT_AND_METADATA = Fields()
"""What reads and searches return unless told otherwise."""
IDS_ONLY = Fields(text=False, metadata=False)
"""The id (and the score) and nothing else."""


class SearchOptions(TypedDict, total=False):
    """Keyword arguments of search(), search_batch() and search_ids().

    Attributes:
        top_k: matches at most, 1 to the server's max_top_k, default 10; if so many match, so many come.
        filter: only records that match: field("year") >= 2000, or the text form "year >= 2000".
        score_threshold: keep matches with at least this score, in the scale of Match.score.
        fields: which parts of the matches to return, default text and metadata; IDS_ONLY for ids and scores.
            search_ids() returns ids and scores whatever this says.
        exact: compare with every record, default False.
        ef: breadth of the walk of an HNSW index, 1 to 10,000; other indexes ignore it.
        nprobe: lists of an IVF index to visit, 1 to 65,536; other indexes ignore it.
        rerank: score the first matches again and order them by that; the result's `reranking` says what came of it. If
            the timeout comes first, the matches are in the search's own order. score_threshold is about the search's score.
        truncation: of a query longer than the model reads: "truncate" (the default, told in `encoded`) or "error".
        vector_fingerprint: what made the query vectors; checked against the collection's model.
        explain: say in the result how it came about, default False.
        consistency_token: of a write that the search must see.
    """

    top_k: int
    filter: Filter | str | None
    score_threshold: float | None
    fields: Fields
    exact: bool
    ef: int | None
    nprobe: int | None
    rerank: Rerank | None
    truncation: Truncation
    vector_fingerprint: str | None
    explain: bool
    consistency_token: str | None


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """Exact search over everything."""


@dataclass(frozen=True, slots=True)
class HnswIndex:
    """A navigable graph; None leaves the server's default.

    Attributes:
        m: links a node, 4 to 128.
        ef_construction: breadth while building, 16 to 2,000.
        ef: breadth while searching, 1 to 10,000.
        quantization: "none", or "scalar8": the graph holds 8 bits a component, and scores come from the originals, which stay on disk.
    """

    m: int | None = None
    ef_construction: int | None = None
    ef: int | None = None
    quantization: Quantization = "none"


@dataclass(frozen=True, slots=True)
class IvfIndex:
    """Inverted lists, in 8 bits a component; scores come from the originals, which stay on disk.

    Attributes:
        lists: how many, 1 to 65,536; None: by the number of vectors.
        nprobe: lists that a search visits at least, 1 to `lists`; None: as many as recall needs.
    """

    lists: int | None = None
    nprobe: int | None = None


IndexConfig: TypeAlias = FlatIndex | HnswIndex | IvfIndex
