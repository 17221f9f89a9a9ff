"""vecgate's client: text in, ranked meaning out.

    from vecgate import Client, field

    with Client("localhost:50051") as client:
        client.create_collection("docs", exist_ok=True)
        client.upsert("docs", [{"id": "cat", "text": "The cat sat on the mat.", "metadata": {"year": 2024}}])
        for match in client.search("docs", "Where is the cat?", filter=field("year") >= 2020):
            print(match.score, match.text)

Names are loaded at their first use, so that `import vecgate` and `import vecgate.v1` cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecgate.aio import AsyncClient
    from vecgate.channel import DEFAULT_TARGET, Deadlines
    from vecgate.client import Client
    from vecgate.errors import (
        AbortedError,
        AlreadyExistsError,
        CallCancelledError,
        DataLossError,
        DeadlineExceededError,
        FailedPreconditionError,
        FieldViolation,
        InternalError,
        InvalidArgumentError,
        NotFoundError,
        OutdatedClientError,
        OutOfRangeError,
        PermissionDeniedError,
        ResourceExhaustedError,
        TlsError,
        UnauthenticatedError,
        UnavailableError,
        UnimplementedError,
        UnknownError,
        VecgateError,
    )
    from vecgate.filters import Filter, expression, field
    from vecgate.records import (
        IDS_ONLY,
        BatchQuery,
        ById,
        Fields,
        FlatIndex,
        HnswIndex,
        IvfIndex,
        Record,
        Rerank,
        SearchOptions,
    )
    from vecgate.results import (
        ChangeResult,
        Collection,
        CollectionInfo,
        CollectionListing,
        Embeddings,
        EncodedText,
        FieldStats,
        GetResult,
        ModelRef,
        PairScores,
        RecordFailure,
        StoredRecord,
        Timings,
        UpsertProgress,
        UpsertResult,
    )
    from vecgate.search_results import Explanation, Match, RankedIds, Reranking, SearchBatchResult, SearchResult
    from vecgate.security import TlsOptions
    from vecgate.server_info import (
        BackendInfo,
        Capabilities,
        Limits,
        ModelInfo,
        ModelKind,
        ModelState,
        ServerInfo,
        ServingStatus,
    )
    from vecgate.timestamps import Timestamp

__all__ = [
    "DEFAULT_TARGET",
    "IDS_ONLY",
    "AbortedError",
    "AlreadyExistsError",
    "AsyncClient",
    "BackendInfo",
    "BatchQuery",
    "ById",
    "CallCancelledError",
    "Capabilities",
    "ChangeResult",
    "Client",
    "Collection",
    "CollectionInfo",
    "CollectionListing",
    "DataLossError",
    "DeadlineExceededError",
    "Deadlines",
    "Embeddings",
    "EncodedText",
    "Explanation",
    "FailedPreconditionError",
    "FieldStats",
    "FieldViolation",
    "Fields",
    "Filter",
    "FlatIndex",
    "GetResult",
    "HnswIndex",
    "InternalError",
    "InvalidArgumentError",
    "IvfIndex",
    "Limits",
    "Match",
    "ModelInfo",
    "ModelKind",
    "ModelRef",
    "ModelState",
    "NotFoundError",
    "OutOfRangeError",
    "OutdatedClientError",
    "PairScores",
    "PermissionDeniedError",
    "RankedIds",
    "Record",
    "RecordFailure",
    "Rerank",
    "Reranking",
    "ResourceExhaustedError",
    "SearchBatchResult",
    "SearchOptions",
    "SearchResult",
    "ServerInfo",
    "ServingStatus",
    "StoredRecord",
    "Timestamp",
    "Timings",
    "TlsError",
    "TlsOptions",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "UpsertProgress",
    "UpsertResult",
    "VecgateError",
    "expression",
    "field",
]

_NAMES_BY_MODULE = {
    "aio": "AsyncClient",
    "channel": "DEFAULT_TARGET Deadlines",
    "client": "Client",
    "errors": "AbortedError AlreadyExistsError CallCancelledError DataLossError DeadlineExceededError "
    "FailedPreconditionError FieldViolation InternalError InvalidArgumentError NotFoundError OutOfRangeError OutdatedClientError "
    "PermissionDeniedError ResourceExhaustedError TlsError UnauthenticatedError UnavailableError UnimplementedError "
    "UnknownError VecgateError",
    "filters": "Filter expression field",
    "records": "IDS_ONLY BatchQuery ById Fields FlatIndex HnswIndex IvfIndex Record Rerank SearchOptions",
    "results": "ChangeResult Collection CollectionInfo CollectionListing Embeddings EncodedText FieldStats GetResult ModelRef "
    "PairScores RecordFailure StoredRecord Timings UpsertProgress UpsertResult",
    "search_results": "Explanation Match RankedIds Reranking SearchBatchResult SearchResult",
    "server_info": "BackendInfo Capabilities Limits ModelInfo ModelKind ModelState ServerInfo ServingStatus",
    "security": "TlsOptions",
    "timestamps": "Timestamp",
}
_HOMES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
