from vecgate.v1 import filter_pb2 as _filter_pb2
from vecgate.v1 import metadata_pb2 as _metadata_pb2
from vecgate.v1 import model_pb2 as _model_pb2
from vecgate.v1 import outcome_pb2 as _outcome_pb2
from vecgate.v1 import record_pb2 as _record_pb2
from vecgate.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MatchLayout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_LAYOUT_UNSPECIFIED: _ClassVar[MatchLayout]
    MATCH_LAYOUT_ROWS: _ClassVar[MatchLayout]
    MATCH_LAYOUT_COLUMNS: _ClassVar[MatchLayout]
MATCH_LAYOUT_UNSPECIFIED: MatchLayout
MATCH_LAYOUT_ROWS: MatchLayout
MATCH_LAYOUT_COLUMNS: MatchLayout

class Query(_message.Message):
    __slots__ = ("text", "vector", "id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    vector: _vector_pb2.Vector
    id: str
    def __init__(self, text: _Optional[str] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., id: _Optional[str] = ...) -> None: ...

class SearchOptions(_message.Message):
    __slots__ = ("filter", "top_k", "score_threshold", "fields", "layout", "explain", "parameters", "rerank", "hybrid", "diversity", "grouping", "truncation", "vector_fingerprint", "consistency_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    HYBRID_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    GROUPING_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: _filter_pb2.Filter
    top_k: int
    score_threshold: float
    fields: _record_pb2.ReturnFields
    layout: MatchLayout
    explain: bool
    parameters: SearchParameters
    rerank: Rerank
    hybrid: Hybrid
    diversity: Diversity
    grouping: Grouping
    truncation: _outcome_pb2.TruncationPolicy
    vector_fingerprint: str
    consistency_token: str
    def __init__(self, filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., top_k: _Optional[int] = ..., score_threshold: _Optional[float] = ..., fields: _Optional[_Union[_record_pb2.ReturnFields, _Mapping]] = ..., layout: _Optional[_Union[MatchLayout, str]] = ..., explain: bool = ..., parameters: _Optional[_Union[SearchParameters, _Mapping]] = ..., rerank: _Optional[_Union[Rerank, _Mapping]] = ..., hybrid: _Optional[_Union[Hybrid, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., grouping: _Optional[_Union[Grouping, _Mapping]] = ..., truncation: _Optional[_Union[_outcome_pb2.TruncationPolicy, str]] = ..., vector_fingerprint: _Optional[str] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class SearchParameters(_message.Message):
    __slots__ = ("exact", "ef", "nprobe")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    NPROBE_FIELD_NUMBER: _ClassVar[int]
    exact: bool
    ef: int
    nprobe: int
    def __init__(self, exact: bool = ..., ef: _Optional[int] = ..., nprobe: _Optional[int] = ...) -> None: ...

class Rerank(_message.Message):
    __slots__ = ("model", "depth", "query")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    model: str
    depth: int
    query: str
    def __init__(self, model: _Optional[str] = ..., depth: _Optional[int] = ..., query: _Optional[str] = ...) -> None: ...

class Hybrid(_message.Message):
    __slots__ = ("vector_weight",)
    VECTOR_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    vector_weight: float
    def __init__(self, vector_weight: _Optional[float] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("strength",)
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    strength: float
    def __init__(self, strength: _Optional[float] = ...) -> None: ...

class Grouping(_message.Message):
    __slots__ = ("field", "group_size")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    field: str
    group_size: int
    def __init__(self, field: _Optional[str] = ..., group_size: _Optional[int] = ...) -> None: ...

class Match(_message.Message):
    __slots__ = ("id", "score", "text", "metadata", "vector", "rerank_score")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    RERANK_SCORE_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: float
    text: str
    metadata: _containers.MessageMap[str, _metadata_pb2.Value]
    vector: _vector_pb2.Vector
    rerank_score: float
    def __init__(self, id: _Optional[str] = ..., score: _Optional[float] = ..., text: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.Value]] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., rerank_score: _Optional[float] = ...) -> None: ...

class MatchColumns(_message.Message):
    __slots__ = ("ids", "packed_scores", "packed_rerank_scores")
    IDS_FIELD_NUMBER: _ClassVar[int]
    PACKED_SCORES_FIELD_NUMBER: _ClassVar[int]
    PACKED_RERANK_SCORES_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    packed_scores: bytes
    packed_rerank_scores: bytes
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., packed_scores: _Optional[bytes] = ..., packed_rerank_scores: _Optional[bytes] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("matches", "columns", "encoded", "explanation", "reranking")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    RERANKING_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[Match]
    columns: MatchColumns
    encoded: _outcome_pb2.EncodedText
    explanation: Explanation
    reranking: Reranking
    def __init__(self, matches: _Optional[_Iterable[_Union[Match, _Mapping]]] = ..., columns: _Optional[_Union[MatchColumns, _Mapping]] = ..., encoded: _Optional[_Union[_outcome_pb2.EncodedText, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., reranking: _Optional[_Union[Reranking, _Mapping]] = ...) -> None: ...

class Reranking(_message.Message):
    __slots__ = ("applied", "reason", "model", "scored_count", "truncated_count")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SCORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    applied: bool
    reason: str
    model: _model_pb2.ModelRef
    scored_count: int
    truncated_count: int
    def __init__(self, applied: bool = ..., reason: _Optional[str] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., scored_count: _Optional[int] = ..., truncated_count: _Optional[int] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("plan", "details")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ...) -> None: ...
    PLAN_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    plan: str
    details: _containers.MessageMap[str, _metadata_pb2.Value]
    def __init__(self, plan: _Optional[str] = ..., details: _Optional[_Mapping[str, _metadata_pb2.Value]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("collection", "namespace", "query", "options")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    query: Query
    options: SearchOptions
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., query: _Optional[_Union[Query, _Mapping]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("result", "model", "timings")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    result: SearchResult
    model: _model_pb2.ModelRef
    timings: _outcome_pb2.Timings
    def __init__(self, result: _Optional[_Union[SearchResult, _Mapping]] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class SearchBatchRequest(_message.Message):
    __slots__ = ("collection", "namespace", "queries", "options")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    queries: _containers.RepeatedCompositeFieldContainer[BatchQuery]
    options: SearchOptions
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[BatchQuery, _Mapping]]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class BatchQuery(_message.Message):
    __slots__ = ("query", "filter", "rerank_query")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    RERANK_QUERY_FIELD_NUMBER: _ClassVar[int]
    query: Query
    filter: _filter_pb2.Filter
    rerank_query: str
    def __init__(self, query: _Optional[_Union[Query, _Mapping]] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., rerank_query: _Optional[str] = ...) -> None: ...

class SearchBatchResponse(_message.Message):
    __slots__ = ("outcomes", "model", "timings")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[SearchOutcome]
    model: _model_pb2.ModelRef
    timings: _outcome_pb2.Timings
    def __init__(self, outcomes: _Optional[_Iterable[_Union[SearchOutcome, _Mapping]]] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class SearchOutcome(_message.Message):
    __slots__ = ("result", "error")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    result: SearchResult
    error: _outcome_pb2.ItemError
    def __init__(self, result: _Optional[_Union[SearchResult, _Mapping]] = ..., error: _Optional[_Union[_outcome_pb2.ItemError, _Mapping]] = ...) -> None: ...
