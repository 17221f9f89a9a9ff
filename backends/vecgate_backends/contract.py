"""The contract of a backend: what every vendor's module promises, in prose and signatures.

Invariants, proved by the conformance suite:

1. Scores are higher-is-nearer (records.Metric). Backends agree: COSINE within 1e-4, DOT within 1e-4 * max(1, |s|),
   EUCLIDEAN squared within 1e-5 * (|q|^2 + |x|^2). Hits come sorted by score, highest first, then by id. `score_threshold` keeps
   score >= threshold.
2. If k records match, k come back; with `exact`, the k nearest. Without, recall@10 is at least 0.95.
3. A filter means what filters.matches says. What a backend cannot do it refuses with UnsupportedError; it never
   answers as if the filter, the threshold or the field had not been there.
4. Ids are unique in a namespace; nothing crosses a namespace. An upsert replaces the whole record. Records of a batch are applied in
   order. count, list and search agree.
5. A write returns when what `acknowledgement` asks is true. A failed record fails alone, as a value in WriteResult. A write that raises
   stored nothing. Inputs are never mutated.
6. A read that carries the token of a write sees that write.
7. `vector` of a Record is the original as written, whatever the index keeps.
8. An encoding stamp is opaque: bytes, a hundred at most, that the server writes beside a vector which it encoded itself, so that it can tell
   later whether the text changed. It is part of the record (replaced and removed with it, untouched by update_metadata, as durable) and
   seen by nobody else: not in metadata, filters, listings or statistics. A backend that keeps stamps returns them byte for byte when
   get asks for them. One that does not (Capabilities.encoding_stamps) is given none, ignores them, and returns b"".

The caller has validated: names and ids, dtype float32, C order, shape (n, dimension), finite, not zero under COSINE, metadata of the
types of records.MetadataValue, top_k >= 1. Backends check shape again (DimensionMismatchError), because it is cheap.

All methods are called on one event loop; none may block it for longer than a short search takes. Cancelling a call leaves
the backend usable; a cancelled write may or may not have happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from vecgate_backends.answers import ChangeResult, FieldStats, Hits, Page, WriteResult
from vecgate_backends.distribution import Distribution
from vecgate_backends.filters import Filter
from vecgate_backends.records import (
    Acknowledgement,
    CollectionSize,
    CollectionSpec,
    Fields,
    FloatMatrix,
    IndexConfig,
    Metadata,
    Metric,
    Record,
    RecordBatch,
    WriteMode,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data; see vecgate.v1.Capabilities for the meaning of each. The suite tests the claims."""

    metrics: frozenset[Metric] = frozenset(Metric)
    max_dimension: int = 65_536
    index_kinds: frozenset[str] = frozenset({"flat"})
    durable: bool = False
    searchable_on_write: bool = True
    exact_search: bool = True
    consistency_tokens: bool = True
    filtered_writes: bool = True
    field_stats: bool = True
    encoding_stamps: bool = False
    index_updates: bool = False


@dataclass(frozen=True, slots=True)
class ByIds:
    """The records with these ids."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ByFilter:
    """The records that match."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Everything:
    """Every record of the namespace."""


Selector: TypeAlias = ByIds | ByFilter | Everything


@dataclass(frozen=True, slots=True)
class MetadataChanges:
    """Fields to set and names to remove; other fields stay."""

    set: Metadata
    remove: frozenset[str]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search.

    Attributes:
        exact: compare with every record. ef, nprobe: breadth, ignored by index kinds without them.
        explain: whether the explanation of the hits is read; a backend may leave it empty otherwise.
    """

    top_k: int = 10
    filter: Filter | None = None
    score_threshold: float | None = None
    fields: Fields = field(default_factory=Fields)
    exact: bool = False
    ef: int | None = None
    nprobe: int | None = None
    consistency_token: str | None = None
    explain: bool = True


class Collection(Protocol):
    """One open collection. Every method may raise BackendUnavailableError, CollectionNotFoundError once it was deleted, and
    TokenInvalidError for a consistency token of another collection.
    """  # noqa: D205  # one sentence, two lines

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""

    async def size(self) -> CollectionSize:
        """Count records by namespace."""

    async def upsert(
        self, namespace: str, batch: RecordBatch, *, mode: WriteMode, acknowledgement: Acknowledgement
    ) -> WriteResult:
        """Write records. INSERT fails existing ids with RecordExistsError, UPDATE missing ones with RecordNotFoundError.

        Raises:
            DimensionMismatchError: `vectors` is not (n, dimension); nothing was stored.
            StorageFullError: nothing was stored.
        """

    async def update_metadata(
        self, namespace: str, selector: Selector, changes: MetadataChanges, *, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Set and remove metadata fields of the selected records; text and vector stay."""

    async def delete(
        self, namespace: str, selector: Selector, *, dry_run: bool, acknowledgement: Acknowledgement
    ) -> ChangeResult:
        """Remove the selected records; with `dry_run` only count them."""

    async def search(self, namespace: str, queries: FloatMatrix, options: SearchOptions) -> Sequence[Hits]:
        """Find the nearest records to each row of `queries`, shape (n, dimension), n >= 1."""

    async def get(
        self, namespace: str, ids: Sequence[str], fields: Fields, *, consistency_token: str | None = None
    ) -> Sequence[Record | None]:
        """Read records by id, in the order asked; None for those not stored."""

    async def count(self, namespace: str, selector: Selector, *, consistency_token: str | None = None) -> int:
        """Count the selected records, exactly."""

    async def list_records(
        self,
        namespace: str,
        filter: Filter | None,  # noqa: A002  # the domain's word
        *,
        cursor: str | None,
        limit: int,
        fields: Fields,
        consistency_token: str | None = None,
    ) -> Page:
        """Page through records in a stable order; what exists from first page to last comes exactly once."""

    async def field_stats(
        self,
        namespace: str,
        field: str,
        filter: Filter | None,  # noqa: A002  # the domain's word
        *,
        limit: int,
        consistency_token: str | None = None,
    ) -> FieldStats:
        """Describe a metadata field over the records that match."""


class Backend(Protocol):
    """One configured backend. Built with an instance of its `Options`, started once, closed once."""

    Options: ClassVar[type[Any]]
    """A frozen dataclass with a default for each option; its docstring documents them."""

    def __init__(self, options: Any) -> None:
        """Take an instance of `Options`; open nothing yet."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    async def start(self) -> None:
        """Open files or connections.

        Raises:
            StoreLockedError, StorageCorruptError, ConfigurationError: it cannot be used at all.
        """

    async def close(self) -> None:
        """Finish writes under way, then release everything; idempotent."""

    async def check(self) -> None:
        """Answer quickly whether it works now.

        Raises:
            BackendUnavailableError: it does not.
        """

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make a collection, durably where the backend is durable.

        Raises:
            CollectionExistsError: one of that name exists.
            IndexUnsupportedError: `spec.index` is of a kind it does not build.
        """

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Change the index of a collection, durably where the backend is durable; None: the backend chooses.

        Searches are right and wait for nothing while the index is built anew; a handle that is open sees the new settings. Never
        called where the capabilities lack `index_updates`.

        Returns:
            Its settings from now on.

        Raises:
            CollectionNotFoundError: there is none.
            IndexUnsupportedError: it does not build that kind, or cannot come to it from the one there is; nothing has changed.
            UnsupportedError: the capabilities lack `index_updates`.
        """

    async def collection(self, name: str) -> Collection:
        """Return the open collection.

        Raises:
            CollectionNotFoundError: there is none.
            StorageCorruptError: it cannot be read.
        """

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection, by name."""

    async def delete_collection(self, name: str) -> None:
        """Remove a collection and all its records.

        Raises:
            CollectionNotFoundError: there is none.
        """


@runtime_checkable
class TellsProgress(Protocol):
    """What a backend may offer besides, if its start can take long."""

    @property
    def progress(self) -> str:
        """What a start under way is doing and how far it is, in a few words; "" while none is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a backend counts or measures of itself, for monitoring: a gauge, or a histogram where the value is a distribution.

    Attributes:
        name: in the way of Prometheus, with its unit and without a prefix: "disk_bytes".
        documentation: one sentence.
        labels: names and values, few of each, which no caller can make more of.
    """

    name: str
    documentation: str
    value: float | Distribution
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class TellsFigures(Protocol):
    """What a backend may offer besides, if it has a state of its own."""

    def figures(self) -> Sequence[Figure]:
        """Read them now, every few seconds and from another thread, before start() and after close() too; the same names each time."""


@runtime_checkable
class SharesStore(Protocol):
    """What a backend offers besides, if several processes may serve what it keeps; one without it belongs to one process."""

    @property
    def shared(self) -> bool:
        """Whether any number of processes with the same options serve the same records and collections, at once and right."""
