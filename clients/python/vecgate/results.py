"""What comes back: frozen dataclasses. Vectors and scores are float32 NumPy arrays, times are nanoseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecgate.errors import UnknownError, VecgateError
from vecgate.records import IndexConfig, MetadataValue, Metric
from vecgate.timestamps import Timestamp


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the server's time went, in nanoseconds; a stage that did not run is 0."""

    queue_ns: int = 0
    tokenize_ns: int = 0
    encode_ns: int = 0
    backend_ns: int = 0
    rerank_ns: int = 0
    total_ns: int = 0


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Exactly which model made or searched vectors: equal fingerprints, comparable vectors."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EncodedText:
    """How a text was read: tokens the model read, special tokens included, and whether the text was cut.

    `reused`: the model did not run, because the server had the vector of this text already.
    """

    tokens: int
    truncated: bool
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of texts; row i belongs to text i.

    Attributes:
        vectors: float32, shape (n, dimension).
        tokens: int64, shape (n,): tokens the model read of each text.
        truncated: bool, shape (n,): the text was longer than the model reads.
        reused: bool, shape (n,): the model did not run for the text, because the server had its vector already.
        model: what made them.
        timings: where the time went, summed over the requests that were needed.
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    reused: NDArray[np.bool_]
    model: ModelRef
    timings: Timings


@dataclass(frozen=True, slots=True)
class PairScores:
    """The scores of texts against a query; row i belongs to text i.

    Attributes:
        scores: float32, shape (n,): higher is nearer; the scale is the model's.
        tokens: int64, shape (n,): tokens the model read of query and text together.
        truncated: bool, shape (n,): query and text were longer than the model reads.
        model: what scored them.
        timings: where the time went, summed over the requests that were needed.
    """

    scores: NDArray[np.float32]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    model: ModelRef
    timings: Timings

    @property
    def best_first(self) -> tuple[int, ...]:
        """Indices of the texts by score, highest first; equal scores in the order of the texts."""
        return tuple(np.argsort(-self.scores, kind="stable").tolist())


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as stored, with the parts that were asked for; `vector` has shape (dimension,)."""

    id: str
    text: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """A record that was not stored: its place among the records handed in, its id, and why."""

    index: int
    id: str
    error: VecgateError


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """What became of the records of an upsert.

    Attributes:
        stored: how many were stored.
        failures: those that were not, in order; the others were stored all the same.
        truncated: ids of texts that were cut (only with truncation="truncate").
        tokens: tokens the model read in all, for reused vectors too when they were made.
        reused: how many texts were not encoded, because the server had their vectors already: those stored unchanged above all.
        searchable: whether a search sees them all now.
        consistency_token: a read that carries it sees this write; "" if nothing was sent.
        model: what encoded the texts, now or when a reused vector was made; None if no text needed a vector, or from upsert_many().
        timings: where the time went, summed over the requests that were needed; upsert_many() is not told.
        failed: how many were not stored; more than there are `failures` if those were handed to on_progress.
    """

    stored: int
    failures: tuple[RecordFailure, ...]
    truncated: tuple[str, ...]
    tokens: int
    reused: int
    searchable: bool
    consistency_token: str
    model: ModelRef | None
    timings: Timings
    failed: int = 0

    def raise_for_failures(self) -> None:
        """Do nothing if every record was stored.

        Raises:
            VecgateError: the first failure's.
        """
        for failure in self.failures:
            raise failure.error
        if self.failed:
            raise UnknownError(f"{self.failed} records were not stored; on_progress was told which, and why")


@dataclass(frozen=True, slots=True)
class UpsertProgress:
    """How far an upsert_many() is, as on_progress is told after each batch.

    Attributes:
        sent: records sent so far.
        finished: records whose fate is known, from the beginning without a gap: what a checkpoint may remember.
        stored: how many of them were stored.
        failures: those of them that were not, in order, since the last call.
        reused: texts so far that were not encoded, because the server had their vectors already.
        truncated: ids of texts that were cut, since the last call.
        reconnects: how often the stream broke off or was handed over, and was taken up again.
    """

    sent: int
    finished: int
    stored: int
    failures: tuple[RecordFailure, ...]
    reused: int
    truncated: tuple[str, ...]
    reconnects: int


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What a delete or an update of metadata touched: how many records, whether searches see it, and its token."""

    count: int
    searchable: bool
    consistency_token: str
    timings: Timings


@dataclass(frozen=True, slots=True)
class GetResult:
    """Records read: those that exist, the ids that do not, and whether `limit` held some back. Iterates over records."""

    records: tuple[StoredRecord, ...]
    missing_ids: tuple[str, ...]
    has_more: bool
    timings: Timings

    def __iter__(self) -> Iterator[StoredRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True, slots=True)
class FieldStats:
    """The values of a metadata field over the selected records.

    Attributes:
        values: distinct values with their counts, most frequent first; cut at the asked limit.
        distinct: distinct values in all.
        present: records that have the field. missing: those that lack it.
        numbers: smallest and largest number; None without numbers. timestamps: likewise.
    """

    values: tuple[tuple[MetadataValue, int], ...]
    distinct: int
    present: int
    missing: int
    numbers: tuple[int | float, int | float] | None
    timestamps: tuple[Timestamp, Timestamp] | None
    timings: Timings


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's settings. `model` None: raw vectors only. `index` None: the backend chooses."""

    name: str
    backend: str
    metric: Metric
    dimension: int
    model: ModelRef | None
    query_prompt: str
    index: IndexConfig | None
    created: Timestamp


@dataclass(frozen=True, slots=True)
class CollectionListing:
    """Every collection by name, but for those of backends that did not answer, which are named."""

    collections: tuple[Collection, ...]
    unavailable_backends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection and its size: records in all, in each namespace (cut at the page limit), and how many namespaces."""

    collection: Collection
    record_count: int
    namespaces: Mapping[str, int]
    namespace_count: int
