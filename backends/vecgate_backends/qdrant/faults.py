"""What Qdrant's client raises, as errors of ours: one table, and whether trying again may help."""

from __future__ import annotations

from dataclasses import dataclass

from grpc import StatusCode
from grpc.aio import AioRpcError, UsageError
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    DataLossError,
    ExhaustedError,
    InvalidArgumentError,
    StorageFullError,
    StoreLockedError,
    UnsupportedError,
    VecgateError,
)

COME_BACK_SECONDS = 1.0
"""After how long a caller may try again where Qdrant does not say."""
_MAX_WORDS = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """A failed call: the error the caller gets, whether the same call may succeed if it is made again, and not before when."""

    error: VecgateError
    passing: bool = False
    pause_seconds: float = 0.0


def fault_of(failure: Exception, place: str) -> Fault | None:
    """Return what a failure of the client means; None if it is none of Qdrant's."""
    match failure:
        case TimeoutError():
            return _timed_out(place)
        case ResourceExhaustedResponse():
            hint = float(failure.retry_after_s)
            error: VecgateError = ExhaustedError(f"Qdrant at {place} limits the rate of requests", retry_after=hint)
            return Fault(error, passing=True, pause_seconds=hint)
        case AioRpcError():
            return _refused(failure.code(), failure.details() or "", place)
        case UsageError():
            return Fault(BackendUnavailableError(f"the connection to Qdrant at {place} is closed"))
        case ValueError() | KeyError() | RuntimeError():
            return _local(str(failure), place)
    return None


def start_fault(failure: Exception, place: str) -> Exception:
    """Return the error that ends the start of the client's own engine."""
    if "already accessed" in str(failure):
        return StoreLockedError(f"another process has {place} open")
    return ConfigurationError(f"path: {place} cannot be opened: {failure}")


def _refused(code: StatusCode, words: str, place: str) -> Fault:
    """Translate a status of the server. Its words are shown shortened: they name settings and limits, no records."""
    lower, shown = words.lower(), words[:_MAX_WORDS]
    if "already exists" in lower:
        return Fault(CollectionExistsError(f"Qdrant has a collection of that name: {shown}"))
    if any(sign in lower for sign in ("no space left", "disk space", "disk is full", "out of disk")):
        return Fault(StorageFullError(f"the disk of Qdrant at {place} is full: {shown}"))
    match code:
        case StatusCode.UNAVAILABLE:
            error = f"Qdrant at {place} cannot be reached: {shown}"
            return Fault(BackendUnavailableError(error, retry_after=COME_BACK_SECONDS), passing=True)
        case StatusCode.DEADLINE_EXCEEDED | StatusCode.CANCELLED:
            return _timed_out(place)
        case StatusCode.RESOURCE_EXHAUSTED if "larger than max" in lower or "too large" in lower:
            return Fault(ExhaustedError(f"Qdrant takes no message of that size: {shown}"))
        case StatusCode.RESOURCE_EXHAUSTED:
            error = f"Qdrant at {place} has reached a limit: {shown}"
            return Fault(ExhaustedError(error, retry_after=COME_BACK_SECONDS), passing=True)
        case StatusCode.ABORTED:
            error = f"Qdrant at {place} is changing: {shown}"
            return Fault(BackendUnavailableError(error, retry_after=COME_BACK_SECONDS), passing=True)
        case StatusCode.UNAUTHENTICATED | StatusCode.PERMISSION_DENIED:
            return Fault(BackendUnavailableError(f"Qdrant at {place} refuses the credentials of this server"))
        case StatusCode.NOT_FOUND:
            return Fault(CollectionNotFoundError(f"Qdrant does not have it: {shown}"))
        case StatusCode.ALREADY_EXISTS:
            return Fault(CollectionExistsError(f"Qdrant has a collection of that name: {shown}"))
        case StatusCode.INVALID_ARGUMENT | StatusCode.FAILED_PRECONDITION | StatusCode.OUT_OF_RANGE:
            return Fault(InvalidArgumentError(f"Qdrant refuses it: {shown}"))
        case StatusCode.UNIMPLEMENTED:
            return Fault(UnsupportedError(f"this version of Qdrant cannot do it: {shown}"))
        case StatusCode.DATA_LOSS:
            return Fault(DataLossError(f"Qdrant at {place} cannot read what it stored: {shown}"))
        case _:
            return Fault(BackendUnavailableError(f"Qdrant at {place} failed: {shown}", retry_after=COME_BACK_SECONDS))


def _timed_out(place: str) -> Fault:
    words = f"Qdrant at {place} did not answer in time; a write may have happened, and may be sent again"
    return Fault(BackendUnavailableError(words, retry_after=COME_BACK_SECONDS))


def _local(words: str, place: str) -> Fault | None:
    """Translate what the client's own engine says, which has no codes; None for what is a fault of ours."""
    if "already exists" in words:
        return Fault(CollectionExistsError(f"a collection of that name exists in {place}"))
    if "closed" in words.lower():
        return Fault(BackendUnavailableError(f"{place} is closed"))
    if words.startswith("Collection ") and words.endswith(" not found"):
        return Fault(CollectionNotFoundError(f"{words} in {place}"))
    if "vector name" in words or "not found in the collection" in words:
        return Fault(InvalidArgumentError(words[:_MAX_WORDS]))
    return None
