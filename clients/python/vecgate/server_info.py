"""What a server says of itself: models, backends, limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vecgate.records import Metric


class ModelState(StrEnum):
    """Whether a model can answer now. UNKNOWN: a state this client is too old to name."""

    AVAILABLE = "available"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ModelKind(StrEnum):
    """What a model is for. UNKNOWN: it was not loaded yet, or is of a kind this client is too old to name."""

    ENCODER = "encoder"
    CROSS_ENCODER = "cross-encoder"
    UNKNOWN = "unknown"


class ServingStatus(StrEnum):
    """What grpc.health.v1 answers. UNKNOWN also stands for a service the server does not have."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model of the server; what follows `state` is set once it is READY, `detail` also says why it FAILED.

    Attributes:
        dimension: length of its vectors; 0 for a cross-encoder.
        max_tokens: most tokens read of one text, special tokens included.
        query_prompt, document_prompt: put before texts by the server; may be empty.
        normalized: vectors have length 1.
        runtime: what runs it, such as "torch".
        kind: whether it encodes texts or scores them against a query.
        precision: in what it computes, "fp32" or "int8".
        matryoshka_dimensions: shorter lengths that its vectors may be cut to, ascending.
        memory_bytes: what its worker processes take.
    """

    name: str
    is_default: bool
    state: ModelState
    fingerprint: str
    dimension: int
    max_tokens: int
    query_prompt: str
    document_prompt: str
    normalized: bool
    runtime: str
    detail: str
    kind: ModelKind = ModelKind.UNKNOWN
    precision: str = ""
    matryoshka_dimensions: tuple[int, ...] = ()
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as vecgate.v1.Capabilities has it."""

    metrics: tuple[Metric, ...]
    max_dimension: int
    index_kinds: tuple[str, ...]
    durable: bool
    searchable_on_write: bool
    exact_search: bool
    consistency_tokens: bool
    filtered_writes: bool
    field_stats: bool
    encoding_stamps: bool
    index_updates: bool = False


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """A configured backend: the name requests use, what it is, whether it answers now (`detail`: why not)."""

    name: str
    kind: str
    healthy: bool
    detail: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's bounds: bytes of a message or a text, items of a batch, matches, records of a page, and so on.

    Attributes:
        max_matches: matches of one call, of all its queries together; 0: an older server, which has no such bound.
        max_calls_per_key, max_streams_per_key: what the key of this client may have under way at once; 0 is no limit.
        requests_per_second_per_key, tokens_per_second_per_key: what it may use in a second; 0 is no limit.
    """

    max_message_bytes: int
    max_batch: int
    max_top_k: int
    max_page_size: int
    max_dimension: int
    max_metadata_fields: int
    max_metadata_bytes: int
    max_text_bytes: int
    max_filter_depth: int
    max_filter_terms: int
    max_matches: int = 0
    max_calls_per_key: int = 0
    max_streams_per_key: int = 0
    requests_per_second_per_key: float = 0.0
    tokens_per_second_per_key: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is and what may be asked of it."""

    version: str
    default_model: str
    default_backend: str
    backends: tuple[BackendInfo, ...]
    limits: Limits
