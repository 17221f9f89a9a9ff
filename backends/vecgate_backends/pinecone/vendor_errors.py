"""What Pinecone's SDK raises, as errors of ours, by one table.

| Pinecone                                | here                                                             |
|-----------------------------------------|------------------------------------------------------------------|
| HTTP 400, 422, refused before sending   | INVALID_ARGUMENT                                                 |
| HTTP 401, 402, 403                      | UNAVAILABLE, and no use in coming back: key or plan do not allow it |
| HTTP 412                                | FAILED_PRECONDITION                                              |
| HTTP 404                                | NOT_FOUND                                                        |
| HTTP 409                                | ALREADY_EXISTS                                                   |
| HTTP 413                                | INVALID_ARGUMENT: one request is larger than Pinecone takes      |
| HTTP 429, quota                         | RESOURCE_EXHAUSTED, with Retry-After where one came              |
| HTTP 408, 5xx, no connection, no answer | UNAVAILABLE                                                      |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pinecone import errors as vendor

from vecgate_backends.errors import (
    BackendUnavailableError,
    ExhaustedError,
    ExistsError,
    InvalidArgumentError,
    MissingError,
    PreconditionError,
    VecgateError,
)

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
PAUSE_SECONDS = 1.0
"""When a caller may come back if Pinecone named no time."""


class RecordTooLargeError(InvalidArgumentError):
    """One request is larger than Pinecone takes. The writer sends its parts; what is left is one record that is too large."""

    reason = "RECORD_TOO_LARGE"


_BY_STATUS: Mapping[int, type[VecgateError]] = MappingProxyType(
    {
        402: BackendUnavailableError,
        403: BackendUnavailableError,
        404: MissingError,
        409: ExistsError,
        412: PreconditionError,
        413: RecordTooLargeError,
        429: ExhaustedError,
    }
)


def vecgate_error(fault: Exception) -> VecgateError:
    """Return our error for what the SDK raised, or for a TimeoutError of our own."""
    if isinstance(fault, vendor.ApiError):
        return _of_status(fault)
    if isinstance(fault, TimeoutError):
        return BackendUnavailableError("Pinecone did not answer in time", retry_after=PAUSE_SECONDS)
    if isinstance(fault, vendor.PineconeConnectionError):
        return BackendUnavailableError("Pinecone cannot be reached", retry_after=PAUSE_SECONDS)
    if isinstance(fault, ValueError | TypeError):
        return InvalidArgumentError(f"Pinecone does not take this: {fault}")
    if isinstance(fault, RuntimeError):
        return BackendUnavailableError("the pinecone backend is closed")
    return BackendUnavailableError("Pinecone answered in a form that is not known here")


def retryable(fault: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(fault, vendor.ApiError):
        return fault.status_code in RETRYABLE_STATUSES
    return isinstance(fault, TimeoutError | vendor.PineconeConnectionError)


def not_executed(fault: Exception) -> bool:
    """Whether the request surely had no effect, so that even one that must not run twice may be sent again."""
    return isinstance(fault, vendor.ApiError) and fault.status_code == 429


def _of_status(fault: vendor.ApiError) -> VecgateError:
    status, said = fault.status_code, fault.message
    if status == 401:
        return BackendUnavailableError("Pinecone refuses the API key of this backend")
    if fault.error_code == "QUOTA_EXCEEDED":
        return ExhaustedError(f"Pinecone: {said}")
    if status == 429:
        after = getattr(fault, "retry_after", None)
        return ExhaustedError(
            f"Pinecone limits the rate: {said}", retry_after=PAUSE_SECONDS if after is None else after
        )
    if status >= 500 or status == 408:
        return BackendUnavailableError(f"Pinecone failed with status {status}", retry_after=PAUSE_SECONDS)
    return _BY_STATUS.get(status, InvalidArgumentError)(f"Pinecone: {said}")
