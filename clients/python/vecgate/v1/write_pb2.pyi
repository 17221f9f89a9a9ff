from vecgate.v1 import filter_pb2 as _filter_pb2
from vecgate.v1 import metadata_pb2 as _metadata_pb2
from vecgate.v1 import model_pb2 as _model_pb2
from vecgate.v1 import outcome_pb2 as _outcome_pb2
from vecgate.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WriteMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WRITE_MODE_UNSPECIFIED: _ClassVar[WriteMode]
    WRITE_MODE_UPSERT: _ClassVar[WriteMode]
    WRITE_MODE_INSERT: _ClassVar[WriteMode]
    WRITE_MODE_UPDATE: _ClassVar[WriteMode]

class Acknowledgement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACKNOWLEDGEMENT_UNSPECIFIED: _ClassVar[Acknowledgement]
    ACKNOWLEDGEMENT_DURABLE: _ClassVar[Acknowledgement]
    ACKNOWLEDGEMENT_SEARCHABLE: _ClassVar[Acknowledgement]
WRITE_MODE_UNSPECIFIED: WriteMode
WRITE_MODE_UPSERT: WriteMode
WRITE_MODE_INSERT: WriteMode
WRITE_MODE_UPDATE: WriteMode
ACKNOWLEDGEMENT_UNSPECIFIED: Acknowledgement
ACKNOWLEDGEMENT_DURABLE: Acknowledgement
ACKNOWLEDGEMENT_SEARCHABLE: Acknowledgement

class UpsertRequest(_message.Message):
    __slots__ = ("collection", "namespace", "records", "mode", "acknowledgement", "truncation", "vector_fingerprint")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    mode: WriteMode
    acknowledgement: Acknowledgement
    truncation: _outcome_pb2.TruncationPolicy
    vector_fingerprint: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., mode: _Optional[_Union[WriteMode, str]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, str]] = ..., truncation: _Optional[_Union[_outcome_pb2.TruncationPolicy, str]] = ..., vector_fingerprint: _Optional[str] = ...) -> None: ...

class UpsertResponse(_message.Message):
    __slots__ = ("outcomes", "stored_count", "failed_count", "searchable", "consistency_token", "model", "timings")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    STORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[RecordOutcome]
    stored_count: int
    failed_count: int
    searchable: bool
    consistency_token: str
    model: _model_pb2.ModelRef
    timings: _outcome_pb2.Timings
    def __init__(self, outcomes: _Optional[_Iterable[_Union[RecordOutcome, _Mapping]]] = ..., stored_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., searchable: bool = ..., consistency_token: _Optional[str] = ..., model: _Optional[_Union[_model_pb2.ModelRef, _Mapping]] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class RecordOutcome(_message.Message):
    __slots__ = ("id", "error", "encoded")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    id: str
    error: _outcome_pb2.ItemError
    encoded: _outcome_pb2.EncodedText
    def __init__(self, id: _Optional[str] = ..., error: _Optional[_Union[_outcome_pb2.ItemError, _Mapping]] = ..., encoded: _Optional[_Union[_outcome_pb2.EncodedText, _Mapping]] = ...) -> None: ...

class UpdateMetadataRequest(_message.Message):
    __slots__ = ("collection", "namespace", "selector", "set", "remove", "acknowledgement")
    class SetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.Value, _Mapping]] = ...) -> None: ...
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    selector: _filter_pb2.Selector
    set: _containers.MessageMap[str, _metadata_pb2.Value]
    remove: _containers.RepeatedScalarFieldContainer[str]
    acknowledgement: Acknowledgement
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., selector: _Optional[_Union[_filter_pb2.Selector, _Mapping]] = ..., set: _Optional[_Mapping[str, _metadata_pb2.Value]] = ..., remove: _Optional[_Iterable[str]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, str]] = ...) -> None: ...

class UpdateMetadataResponse(_message.Message):
    __slots__ = ("matched_count", "searchable", "consistency_token", "timings")
    MATCHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    matched_count: int
    searchable: bool
    consistency_token: str
    timings: _outcome_pb2.Timings
    def __init__(self, matched_count: _Optional[int] = ..., searchable: bool = ..., consistency_token: _Optional[str] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("collection", "namespace", "selector", "dry_run", "acknowledgement")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    selector: _filter_pb2.Selector
    dry_run: bool
    acknowledgement: Acknowledgement
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., selector: _Optional[_Union[_filter_pb2.Selector, _Mapping]] = ..., dry_run: bool = ..., acknowledgement: _Optional[_Union[Acknowledgement, str]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("deleted_count", "searchable", "consistency_token", "timings")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    searchable: bool
    consistency_token: str
    timings: _outcome_pb2.Timings
    def __init__(self, deleted_count: _Optional[int] = ..., searchable: bool = ..., consistency_token: _Optional[str] = ..., timings: _Optional[_Union[_outcome_pb2.Timings, _Mapping]] = ...) -> None: ...
