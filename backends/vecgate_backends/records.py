"""What passes between the server and a backend: frozen dataclasses and NumPy arrays.

Vectors are float32. A batch is columnar, because both sides work on whole matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatVector: TypeAlias = NDArray[np.float32]
"""One vector, shape (dimension,), or one score a match, shape (matches,)."""
FloatMatrix: TypeAlias = NDArray[np.float32]
"""Vectors as rows, shape (rows, dimension), C order."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, as google.protobuf.Timestamp has it: seconds since 1970 (may be negative) and 0..999,999,999 nanoseconds."""

    seconds: int
    nanos: int = 0


MetadataValue: TypeAlias = str | int | float | bool | Timestamp | tuple[str, ...]
"""One metadata value; bool is not a number here, although Python thinks so."""
Metadata: TypeAlias = Mapping[str, MetadataValue]
NO_METADATA: Metadata = {}


class Metric(StrEnum):
    """How nearness is measured. Scores are always higher-is-nearer.

    COSINE: the cosine, in [-1, 1]. DOT: the inner product. EUCLIDEAN: minus the Euclidean distance.
    """

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"


class WriteMode(StrEnum):
    """What a write does about an id that is, or is not, stored already."""

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"


class Acknowledgement(StrEnum):
    """What must be true before a write returns; SEARCHABLE includes DURABLE."""

    DURABLE = "durable"
    SEARCHABLE = "searchable"


class Quantization(StrEnum):
    """How an index keeps the vectors it walks over; originals stand beside it, and scores come from those.

    NONE: float32. SCALAR8: 8 bits a component.
    """

    NONE = "none"
    SCALAR8 = "scalar8"


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """Exact search over everything. `kind`: its name in Capabilities.index_kinds."""

    kind: ClassVar[str] = "flat"


@dataclass(frozen=True, slots=True)
class HnswIndex:
    """A navigable graph (Malkov and Yashunin, 2016): links a node, breadth while building, breadth while searching."""

    m: int = 16
    ef_construction: int = 100
    ef: int = 64
    quantization: Quantization = Quantization.NONE

    @property
    def kind(self) -> str:
        """Its name in Capabilities.index_kinds: "hnsw" or "hnsw-scalar8"."""
        return "hnsw" if self.quantization is Quantization.NONE else f"hnsw-{self.quantization}"


@dataclass(frozen=True, slots=True)
class IvfIndex:
    """Inverted lists: how many, and how many a search visits at least. None: the backend chooses."""

    kind: ClassVar[str] = "ivf"
    lists: int | None = None
    nprobe: int | None = None


IndexConfig: TypeAlias = FlatIndex | HnswIndex | IvfIndex


def index_numbers(index: IndexConfig) -> dict[str, int | None]:
    """Return the parameters of an index by name; with its kind they tell all of it."""
    return {name: value for name, value in asdict(index).items() if name != "quantization"}


@dataclass(frozen=True, slots=True)
class ModelBinding:
    """The model a collection is bound to; the prompt is recorded for information, the fingerprint decides."""

    name: str
    fingerprint: str
    query_prompt: str = ""


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """The settings a collection is made with and keeps. `model` None: raw vectors only. `index` None: the backend chooses."""

    name: str
    dimension: int
    metric: Metric = Metric.COSINE
    model: ModelBinding | None = None
    index: IndexConfig | None = None
    created: Timestamp = Timestamp(0)


@dataclass(frozen=True, slots=True)
class CollectionSize:
    """Records in each namespace that holds any."""

    namespaces: Mapping[str, int]

    @property
    def records(self) -> int:
        """Records over all namespaces."""
        return sum(self.namespaces.values())


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records to write, as columns of one length; row i of `vectors` belongs to ids[i]. An id may come twice.

    Attributes:
        encoding_stamps: opaque bytes that stay with a record until it is replaced, b"" for none; or empty: no record has one.
    """

    ids: Sequence[str]
    vectors: FloatMatrix
    texts: Sequence[str | None]
    metadata: Sequence[Metadata]
    encoding_stamps: Sequence[bytes] = ()

    def encoding_stamp(self, row: int) -> bytes:
        """Return the encoding stamp of one row, b"" for none."""
        return self.encoding_stamps[row] if self.encoding_stamps else b""

    @classmethod
    def joined(cls, batches: Sequence[RecordBatch]) -> RecordBatch:
        """Return at least one batch, one behind the other."""
        if len(batches) == 1:
            return batches[0]
        stamped = any(batch.encoding_stamps for batch in batches)
        return cls(
            ids=[record_id for batch in batches for record_id in batch.ids],
            vectors=np.concatenate([batch.vectors for batch in batches]),
            texts=[text for batch in batches for text in batch.texts],
            metadata=[fields for batch in batches for fields in batch.metadata],
            encoding_stamps=[batch.encoding_stamp(row) for batch in batches for row in range(len(batch.ids))]
            if stamped
            else (),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record, with the fields that were asked for; `vector` is the original, as it was written.

    `encoding_stamp` is b"" if there is none, if it was not asked for, and where the backend keeps none.
    """

    id: str
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)
    vector: FloatVector | None = None
    encoding_stamp: bytes = b""


@dataclass(frozen=True, slots=True)
class Fields:
    """Which parts of a record to return beside its id. `metadata`: all, none, or these names.

    `encoding_stamp` is asked of Collection.get alone.
    """

    text: bool = True
    metadata: bool | frozenset[str] = True
    vector: bool = False
    encoding_stamp: bool = False

    @property
    def nothing(self) -> bool:
        """Whether ids alone are wanted, so that no record need be read."""
        return not (self.text or self.vector or self.metadata or self.encoding_stamp)


IDS_ONLY = Fields(text=False, metadata=False, vector=False)
