from vecgate.v1 import collection_pb2 as _collection_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "default_model", "default_backend", "backends", "limits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_BACKEND_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    version: str
    default_model: str
    default_backend: str
    backends: _containers.RepeatedCompositeFieldContainer[BackendInfo]
    limits: Limits
    def __init__(self, version: _Optional[str] = ..., default_model: _Optional[str] = ..., default_backend: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[BackendInfo, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class BackendInfo(_message.Message):
    __slots__ = ("name", "kind", "healthy", "detail", "capabilities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    healthy: bool
    detail: str
    capabilities: Capabilities
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., healthy: bool = ..., detail: _Optional[str] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("metrics", "max_dimension", "index_kinds", "durable", "searchable_on_write", "exact_search", "consistency_tokens", "filtered_writes", "field_stats", "encoding_stamps", "index_updates")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    MAX_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    INDEX_KINDS_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_ON_WRITE_FIELD_NUMBER: _ClassVar[int]
    EXACT_SEARCH_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FILTERED_WRITES_FIELD_NUMBER: _ClassVar[int]
    FIELD_STATS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_STAMPS_FIELD_NUMBER: _ClassVar[int]
    INDEX_UPDATES_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedScalarFieldContainer[_collection_pb2.Metric]
    max_dimension: int
    index_kinds: _containers.RepeatedScalarFieldContainer[str]
    durable: bool
    searchable_on_write: bool
    exact_search: bool
    consistency_tokens: bool
    filtered_writes: bool
    field_stats: bool
    encoding_stamps: bool
    index_updates: bool
    def __init__(self, metrics: _Optional[_Iterable[_Union[_collection_pb2.Metric, str]]] = ..., max_dimension: _Optional[int] = ..., index_kinds: _Optional[_Iterable[str]] = ..., durable: bool = ..., searchable_on_write: bool = ..., exact_search: bool = ..., consistency_tokens: bool = ..., filtered_writes: bool = ..., field_stats: bool = ..., encoding_stamps: bool = ..., index_updates: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_message_bytes", "max_batch", "max_top_k", "max_page_size", "max_dimension", "max_metadata_fields", "max_metadata_bytes", "max_text_bytes", "max_filter_depth", "max_filter_terms", "max_matches", "max_calls_per_key", "max_streams_per_key", "requests_per_second_per_key", "tokens_per_second_per_key")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    MAX_TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    MAX_METADATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_FILTER_DEPTH_FIELD_NUMBER: _ClassVar[int]
    MAX_FILTER_TERMS_FIELD_NUMBER: _ClassVar[int]
    MAX_MATCHES_FIELD_NUMBER: _ClassVar[int]
    MAX_CALLS_PER_KEY_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_PER_KEY_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_PER_KEY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_PER_KEY_FIELD_NUMBER: _ClassVar[int]
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
    max_matches: int
    max_calls_per_key: int
    max_streams_per_key: int
    requests_per_second_per_key: float
    tokens_per_second_per_key: float
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_batch: _Optional[int] = ..., max_top_k: _Optional[int] = ..., max_page_size: _Optional[int] = ..., max_dimension: _Optional[int] = ..., max_metadata_fields: _Optional[int] = ..., max_metadata_bytes: _Optional[int] = ..., max_text_bytes: _Optional[int] = ..., max_filter_depth: _Optional[int] = ..., max_filter_terms: _Optional[int] = ..., max_matches: _Optional[int] = ..., max_calls_per_key: _Optional[int] = ..., max_streams_per_key: _Optional[int] = ..., requests_per_second_per_key: _Optional[float] = ..., tokens_per_second_per_key: _Optional[float] = ...) -> None: ...
