from vecgate.v1 import metadata_pb2 as _metadata_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Filter(_message.Message):
    __slots__ = ("all_of", "any_of", "negation", "condition", "expression")
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATION_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    all_of: FilterList
    any_of: FilterList
    negation: Filter
    condition: Condition
    expression: str
    def __init__(self, all_of: _Optional[_Union[FilterList, _Mapping]] = ..., any_of: _Optional[_Union[FilterList, _Mapping]] = ..., negation: _Optional[_Union[Filter, _Mapping]] = ..., condition: _Optional[_Union[Condition, _Mapping]] = ..., expression: _Optional[str] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("field", "eq", "in_list", "gt", "gte", "lt", "lte", "exists")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    EQ_FIELD_NUMBER: _ClassVar[int]
    IN_LIST_FIELD_NUMBER: _ClassVar[int]
    GT_FIELD_NUMBER: _ClassVar[int]
    GTE_FIELD_NUMBER: _ClassVar[int]
    LT_FIELD_NUMBER: _ClassVar[int]
    LTE_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    field: str
    eq: _metadata_pb2.Value
    in_list: _metadata_pb2.ValueList
    gt: _metadata_pb2.Value
    gte: _metadata_pb2.Value
    lt: _metadata_pb2.Value
    lte: _metadata_pb2.Value
    exists: bool
    def __init__(self, field: _Optional[str] = ..., eq: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., in_list: _Optional[_Union[_metadata_pb2.ValueList, _Mapping]] = ..., gt: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., gte: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., lt: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., lte: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ..., exists: bool = ...) -> None: ...

class Selector(_message.Message):
    __slots__ = ("ids", "filter", "all")
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ids: IdList
    filter: Filter
    all: bool
    def __init__(self, ids: _Optional[_Union[IdList, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., all: bool = ...) -> None: ...

class IdList(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...
