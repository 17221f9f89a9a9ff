from vecgate.v1 import filter_pb2 as _filter_pb2
from vecgate.v1 import metadata_pb2 as _metadata_pb2
from vecgate.v1 import outcome_pb2 as _outcome_pb2
from vecgate.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRequest(_message.Message):
    __slots__ = ("collection", "namespace", "selector", "fields", "limit", "consistency_token")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    selector: _filter_pb2.Selector
    fields: _record_pb2.ReturnFields
    limit: int
    consistency_token: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., selector: _Optional[_Union[_filter_pb2.Selector, _Mapping]] = ..., fields: _Optional[_Union[_record_pb2.ReturnFields, _Mapping]] = ..., limit: _Optional[int] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("records", "missing_ids", "has_more", "timings")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MISSING_IDS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    missing_ids: _containers.RepeatedScalarFieldContainer[str]
    has_more: bool
    timings: _outcome_pb2.Timings
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., missing_ids: _Optional[_Iterable[str]] = ..., has_more: bool = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("collection", "namespace", "selector", "consistency_token")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    selector: _filter_pb2.Selector
    consistency_token: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., selector: _Optional[_Union[_filter_pb2.Selector, _Mapping]] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count", "timings")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    count: int
    timings: _outcome_pb2.Timings
    def __init__(self, count: _Optional[int] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("collection", "namespace", "filter", "page_size", "page_token", "fields", "consistency_token")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    filter: _filter_pb2.Filter
    page_size: int
    page_token: str
    fields: _record_pb2.ReturnFields
    consistency_token: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., fields: _Optional[_Union[_record_pb2.ReturnFields, _Mapping]] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("records", "next_page_token", "timings")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    next_page_token: str
    timings: _outcome_pb2.Timings
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class FieldStatsRequest(_message.Message):
    __slots__ = ("collection", "namespace", "field", "filter", "limit", "consistency_token")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    field: str
    filter: _filter_pb2.Filter
    limit: int
    consistency_token: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., field: _Optional[str] = ..., filter: _Optional[_Union[_filter_pb2.Filter, _Mapping]] = ..., limit: _Optional[int] = ..., consistency_token: _Optional[str] = ...) -> None: ...

class FieldStatsResponse(_message.Message):
    __slots__ = ("values", "distinct_count", "present_count", "missing_count", "min_number", "max_number", "min_timestamp", "max_timestamp", "timings")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PRESENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSING_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MAX_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MIN_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[ValueCount]
    distinct_count: int
    present_count: int
    missing_count: int
    min_number: _metadata_pb2.Value
    max_number: _metadata_pb2.Value
    min_timestamp: _metadata_pb2.Value
    max_timestamp: _metadata_pb2.Value
    timings: _outcome_pb2.Timings
    def __init__(self, values: _Optional[_Iterable[_Union[ValueCount, _Mapping]]] = ..., distinct_count: _Optional[int] = ..., present_count: _Optional[int] = ..., missing_count: _Optional[int] = ..., min_number: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., max_number: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., min_timestamp: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., max_timestamp: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class ValueCount(_message.Message):
    __slots__ = ("value", "count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    value: _metadata_pb2.Value
    count: int
    def __init__(self, value: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...
