import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from vecgate.v1 import outcome_pb2 as _outcome_pb2
from vecgate.v1 import record_pb2 as _record_pb2
from vecgate.v1 import write_pb2 as _write_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpsertStreamRequest(_message.Message):
    __slots__ = ("open", "batch", "close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: UpsertStreamOpen
    batch: UpsertStreamBatch
    close: UpsertStreamClose
    def __init__(self, open: _Optional[_Union[UpsertStreamOpen, _Mapping]] = ..., batch: _Optional[_Union[UpsertStreamBatch, _Mapping]] = ..., close: _Optional[_Union[UpsertStreamClose, _Mapping]] = ...) -> None: ...

class UpsertStreamOpen(_message.Message):
    __slots__ = ("collection", "namespace", "mode", "acknowledgement", "truncation", "vector_fingerprint")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    namespace: str
    mode: _write_pb2.WriteMode
    acknowledgement: _write_pb2.Acknowledgement
    truncation: _outcome_pb2.TruncationPolicy
    vector_fingerprint: str
    def __init__(self, collection: _Optional[str] = ..., namespace: _Optional[str] = ..., mode: _Optional[_Union[_write_pb2.WriteMode, str]] = ..., acknowledgement: _Optional[_Union[_write_pb2.Acknowledgement, str]] = ..., truncation: _Optional[_Union[_outcome_pb2.TruncationPolicy, str]] = ..., vector_fingerprint: _Optional[str] = ...) -> None: ...

class UpsertStreamBatch(_message.Message):
    __slots__ = ("sequence", "records")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    def __init__(self, sequence: _Optional[int] = ..., records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ...) -> None: ...

class UpsertStreamClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpsertStreamResponse(_message.Message):
    __slots__ = ("receipt", "result", "window", "shutdown")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    receipt: UpsertStreamReceipt
    result: UpsertStreamResult
    window: UpsertStreamWindow
    shutdown: UpsertStreamShutdown
    def __init__(self, receipt: _Optional[_Union[UpsertStreamReceipt, _Mapping]] = ..., result: _Optional[_Union[UpsertStreamResult, _Mapping]] = ..., window: _Optional[_Union[UpsertStreamWindow, _Mapping]] = ..., shutdown: _Optional[_Union[UpsertStreamShutdown, _Mapping]] = ...) -> None: ...

class UpsertStreamReceipt(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class UpsertStreamResult(_message.Message):
    __slots__ = ("sequence", "outcomes", "searchable", "consistency_token", "error")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    outcomes: _containers.RepeatedCompositeFieldContainer[_write_pb2.RecordOutcome]
    searchable: bool
    consistency_token: str
    error: _outcome_pb2.ItemError
    def __init__(self, sequence: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[_write_pb2.RecordOutcome, _Mapping]]] = ..., searchable: bool = ..., consistency_token: _Optional[str] = ..., error: _Optional[_Union[_outcome_pb2.ItemError, _Mapping]] = ...) -> None: ...

class UpsertStreamWindow(_message.Message):
    __slots__ = ("records", "bytes")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    records: int
    bytes: int
    def __init__(self, records: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class UpsertStreamShutdown(_message.Message):
    __slots__ = ("grace",)
    GRACE_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    def __init__(self, grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
