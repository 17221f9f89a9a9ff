from vecgate.v1 import model_pb2 as _model_pb2
from vecgate.v1 import outcome_pb2 as _outcome_pb2
from vecgate.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_QUERY: _ClassVar[Role]
    ROLE_DOCUMENT: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_QUERY: Role
ROLE_DOCUMENT: Role

class EncodeRequest(_message.Message):
    __slots__ = ("texts", "role", "model", "dimensions", "truncation", "vector_encoding")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_ENCODING_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    role: Role
    model: str
    dimensions: int
    truncation: _outcome_pb2.TruncationPolicy
    vector_encoding: _vector_pb2.VectorEncoding
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., role: _Optional[_Union[Role, str]] = ..., model: _Optional[str] = ..., dimensions: _Optional[int] = ..., truncation: _Optional[_Union[_outcome_pb2.TruncationPolicy, str]] = ..., vector_encoding: _Optional[_Union[_vector_pb2.VectorEncoding, str]] = ...) -> None: ...

class EncodeResponse(_message.Message):
    __slots__ = ("embeddings", "model", "timings")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    model: _model_pb2.ModelRef
    timings: _outcome_pb2.Timings
    def __init__(self, embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector", "encoded")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    vector: _vector_pb2.Vector
    encoded: _outcome_pb2.EncodedText
    def __init__(self, vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., encoded: _Optional[_Union[_outcome_pb2.EncodedText, _Mapping]] = ...) -> None: ...
