"""What Qdrant's client raises, as errors of ours: one table, and whether trying again may help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grpc import StatusCode
from grpc.aio import AioRpcError, UsageError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse

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


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table; `{place}` and `{words}` in the sentence are the server and what it said."""

    error: type[VecgateError]
    sentence: str
    passing: bool = False
    retry_after: float | None = None


_TIMED_OUT = _Row(
    BackendUnavailableError,
    "Qdrant at {place} did not answer in time; a write may have happened, and may be sent again",
    retry_after=COME_BACK_SECONDS,
)
_EXISTS = _Row(CollectionExistsError, "Qdrant has a collection of that name: {words}")
_CREDENTIALS = _Row(BackendUnavailableError, "Qdrant at {place} refuses the credentials of this server")
_REFUSED = _Row(InvalidArgumentError, "Qdrant refuses it: {words}")
_OTHERWISE = _Row(BackendUnavailableError, "Qdrant at {place} failed: {words}", retry_after=COME_BACK_SECONDS)

_BY_WORDS: Sequence[tuple[Sequence[str], _Row]] = (
    (("already exists",), _EXISTS),
    (
        ("no space left", "disk space", "disk is full", "out of disk"),
        _Row(StorageFullError, "the disk of Qdrant at {place} is full: {words}"),
    ),
    (
        ("larger than max", "length too large", "too large"),
        _Row(ExhaustedError, "Qdrant takes no message of that size: {words}"),
    ),
)
"""Refusals that several codes are used for, by what they say."""

_BY_CODE: Mapping[StatusCode, _Row] = {
    StatusCode.UNAVAILABLE: _Row(
        BackendUnavailableError,
        "Qdrant at {place} cannot be reached: {words}",
        passing=True,
        retry_after=COME_BACK_SECONDS,
    ),
    StatusCode.ABORTED: _Row(
        BackendUnavailableError, "Qdrant at {place} is changing: {words}", passing=True, retry_after=COME_BACK_SECONDS
    ),
    StatusCode.RESOURCE_EXHAUSTED: _Row(
        ExhaustedError, "Qdrant at {place} has reached a limit: {words}", passing=True, retry_after=COME_BACK_SECONDS
    ),
    StatusCode.DEADLINE_EXCEEDED: _TIMED_OUT,
    StatusCode.CANCELLED: _TIMED_OUT,
    StatusCode.UNAUTHENTICATED: _CREDENTIALS,
    StatusCode.PERMISSION_DENIED: _CREDENTIALS,
    StatusCode.NOT_FOUND: _Row(CollectionNotFoundError, "Qdrant does not have it: {words}"),
    StatusCode.ALREADY_EXISTS: _EXISTS,
    StatusCode.INVALID_ARGUMENT: _REFUSED,
    StatusCode.FAILED_PRECONDITION: _REFUSED,
    StatusCode.OUT_OF_RANGE: _REFUSED,
    StatusCode.UNIMPLEMENTED: _Row(UnsupportedError, "this version of Qdrant cannot do it: {words}"),
    StatusCode.DATA_LOSS: _Row(DataLossError, "Qdrant at {place} cannot read what it stored: {words}"),
}


def fault_of(failure: Exception, place: str) -> Fault | None:
    """Return what a failure of the client means; None if it is none of Qdrant's."""
    match failure:
        case TimeoutError():
            return _refused(StatusCode.DEADLINE_EXCEEDED, "", place)
        case ResourceExhaustedResponse():
            hint = float(failure.retry_after_s)
            error: VecgateError = ExhaustedError(f"Qdrant at {place} limits the rate of requests", retry_after=hint)
            return Fault(error, passing=True, pause_seconds=hint)
        case QdrantException():  # it could not read what the server says of when to come back
            return _refused(StatusCode.RESOURCE_EXHAUSTED, str(failure), place)
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
    lower = words.lower()
    row = next((row for signs, row in _BY_WORDS if any(sign in lower for sign in signs)), None)
    row = row or _BY_CODE.get(code, _OTHERWISE)
    sentence = row.sentence.format(place=place, words=words[:_MAX_WORDS])
    return Fault(row.error(sentence, retry_after=row.retry_after), row.passing)


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
