import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from vecgate.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_COSINE: _ClassVar[Metric]
    METRIC_DOT: _ClassVar[Metric]
    METRIC_EUCLIDEAN: _ClassVar[Metric]

class Quantization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANTIZATION_UNSPECIFIED: _ClassVar[Quantization]
    QUANTIZATION_NONE: _ClassVar[Quantization]
    QUANTIZATION_SCALAR8: _ClassVar[Quantization]
METRIC_UNSPECIFIED: Metric
METRIC_COSINE: Metric
METRIC_DOT: Metric
METRIC_EUCLIDEAN: Metric
QUANTIZATION_UNSPECIFIED: Quantization
QUANTIZATION_NONE: Quantization
QUANTIZATION_SCALAR8: Quantization

class IndexConfig(_message.Message):
    __slots__ = ("flat", "hnsw", "ivf")
    FLAT_FIELD_NUMBER: _ClassVar[int]
    HNSW_FIELD_NUMBER: _ClassVar[int]
    IVF_FIELD_NUMBER: _ClassVar[int]
    flat: FlatIndex
    hnsw: HnswIndex
    ivf: IvfIndex
    def __init__(self, flat: _Optional[_Union[FlatIndex, _Mapping]] = ..., hnsw: _Optional[_Union[HnswIndex, _Mapping]] = ..., ivf: _Optional[_Union[IvfIndex, _Mapping]] = ...) -> None: ...

class FlatIndex(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HnswIndex(_message.Message):
    __slots__ = ("m", "ef_construction", "ef", "quantization")
    M_FIELD_NUMBER: _ClassVar[int]
    EF_CONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    m: int
    ef_construction: int
    ef: int
    quantization: Quantization
    def __init__(self, m: _Optional[int] = ..., ef_construction: _Optional[int] = ..., ef: _Optional[int] = ..., quantization: _Optional[_Union[Quantization, str]] = ...) -> None: ...

class IvfIndex(_message.Message):
    __slots__ = ("lists", "nprobe")
    LISTS_FIELD_NUMBER: _ClassVar[int]
    NPROBE_FIELD_NUMBER: _ClassVar[int]
    lists: int
    nprobe: int
    def __init__(self, lists: _Optional[int] = ..., nprobe: _Optional[int] = ...) -> None: ...

class Unbound(_message.Message):
    __slots__ = ("dimension",)
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    dimension: int
    def __init__(self, dimension: _Optional[int] = ...) -> None: ...

class ModelChoice(_message.Message):
    __slots__ = ("name", "dimensions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    dimensions: int
    def __init__(self, name: _Optional[str] = ..., dimensions: _Optional[int] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("name", "model", "unbound", "metric", "backend", "index", "if_not_exists")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNBOUND_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    IF_NOT_EXISTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: ModelChoice
    unbound: Unbound
    metric: Metric
    backend: str
    index: IndexConfig
    if_not_exists: bool
    def __init__(self, name: _Optional[str] = ..., model: _Optional[_Union[ModelChoice, _Mapping]] = ..., unbound: _Optional[_Union[Unbound, _Mapping]] = ..., metric: _Optional[_Union[Metric, str]] = ..., backend: _Optional[str] = ..., index: _Optional[_Union[IndexConfig, _Mapping]] = ..., if_not_exists: bool = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("collection", "created")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    created: bool
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., created: bool = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("name", "backend", "metric", "dimension", "model", "query_prompt", "index", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    QUERY_PROMPT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    backend: str
    metric: Metric
    dimension: int
    model: _model_pb2.ModelRef
    query_prompt: str
    index: IndexConfig
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., backend: _Optional[str] = ..., metric: _Optional[_Union[Metric, str]] = ..., dimension: _Optional[int] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., query_prompt: _Optional[str] = ..., index: _Optional[_Union[IndexConfig, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCollectionResponse(_message.Message):
    __slots__ = ("collection", "record_count", "namespaces", "namespace_count")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_COUNT_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    record_count: int
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceInfo]
    namespace_count: int
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., record_count: _Optional[int] = ..., namespaces: _Optional[_Iterable[_Union[NamespaceInfo, _Mapping]]] = ..., namespace_count: _Optional[int] = ...) -> None: ...

class NamespaceInfo(_message.Message):
    __slots__ = ("name", "record_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    record_count: int
    def __init__(self, name: _Optional[str] = ..., record_count: _Optional[int] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token", "unavailable_backends")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_BACKENDS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    next_page_token: str
    unavailable_backends: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., unavailable_backends: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateCollectionRequest(_message.Message):
    __slots__ = ("name", "index")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    index: IndexConfig
    def __init__(self, name: _Optional[str] = ..., index: _Optional[_Union[IndexConfig, _Mapping]] = ...) -> None: ...

class UpdateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
