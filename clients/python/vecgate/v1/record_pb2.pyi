from vecgate.v1 import metadata_pb2 as _metadata_pb2
from vecgate.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Record(_message.Message):
    __slots__ = ("id", "text", "vector", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    vector: _vector_pb2.Vector
    metadata: _containers.MessageMap[str, _metadata_pb2.Value]
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.Value]] = ...) -> None: ...

class ReturnFields(_message.Message):
    __slots__ = ("text", "metadata", "vector", "vector_encoding")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    VECTOR_ENCODING_FIELD_NUMBER: _ClassVar[int]
    text: bool
    metadata: MetadataFields
    vector: bool
    vector_encoding: _vector_pb2.VectorEncoding
    def __init__(self, text: bool = ..., metadata: _Optional[_Union[MetadataFields, _Mapping]] = ..., vector: bool = ..., vector_encoding: _Optional[_Union[_vector_pb2.VectorEncoding, str]] = ...) -> None: ...

class MetadataFields(_message.Message):
    __slots__ = ("all", "names")
    ALL_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    all: bool
    names: FieldNames
    def __init__(self, all: bool = ..., names: _Optional[_Union[FieldNames, _Mapping]] = ...) -> None: ...

class FieldNames(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...
