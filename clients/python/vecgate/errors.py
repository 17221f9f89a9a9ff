"""Everything a call can raise, as one tree with a branch for each gRPC status code.

    VecgateError
    ├── InvalidArgumentError       the request is wrong, and stays wrong (also a ValueError)
    │   └── OutOfRangeError
    ├── NotFoundError              COLLECTION_NOT_FOUND, RECORD_NOT_FOUND, MODEL_NOT_FOUND, …
    ├── AlreadyExistsError         COLLECTION_EXISTS, RECORD_EXISTS
    ├── FailedPreconditionError    right, but not in this state: MODEL_MISMATCH, COLLECTION_UNBOUND
    │   └── AbortedError
    ├── ResourceExhaustedError     a bound was reached: ENCODER_BUSY, STORAGE_FULL, a message over the limit
    ├── UnavailableError           no server there, or not now; try again
    │   └── TlsError               TLS_UNTRUSTED, TLS_NAME, …: the two sides do not agree on TLS; trying again does not help
    ├── DeadlineExceededError      no answer in time; whether the call had its effect is unknown
    ├── CallCancelledError         the server or a proxy cancelled the call
    ├── UnauthenticatedError
    ├── PermissionDeniedError
    ├── UnimplementedError         this server, or this backend, cannot do it; the message says what
    ├── DataLossError              what was stored cannot be read
    ├── InternalError              a fault of the server; its log has more under `request_id`
    └── UnknownError
        └── OutdatedClientError    CLIENT_OUTDATED: the answer holds what this version of the client has no type for

Act on `reason`, a stable machine word; the message is for people. docs/errors.md lists the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import grpc

if TYPE_CHECKING:
    from vecgate.results import UpsertResult


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path from the request's root, such as records[3].metadata["year"], and what is wrong."""

    field: str
    description: str


class VecgateError(Exception):
    """Root of the tree.

    Attributes:
        code: the gRPC status code.
        message: one sentence for people.
        reason: the machine word, such as "DIMENSION_MISMATCH"; the code's name where the server gave none.
        violations: the wrong fields, if the fault is the request's.
        retry_after: seconds after which a retry may help, if the server said so.
        request_id: the server's id of the call, as in its log; None for what never reached it.
        acknowledged: of an upsert that went out in several requests: what was stored before this error.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code.name
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id
        self.acknowledged: UpsertResult | None = None

    def __str__(self) -> str:
        """Return the message with its reason, such as "no collection 'docs' (COLLECTION_NOT_FOUND)"."""
        return f"{self.message} ({self.reason})"


class InvalidArgumentError(VecgateError, ValueError):
    """The request is wrong, and stays wrong; raised by the client itself for what the wire cannot carry."""

    code = grpc.StatusCode.INVALID_ARGUMENT

    @classmethod
    def at(cls, field: str, description: str, *, reason: str = "") -> Self:
        """Build the error for one wrong field; the message names it."""
        return cls(f"{field}: {description}", reason=reason, violations=[FieldViolation(field, description)])


class OutOfRangeError(InvalidArgumentError):
    """A position lies past the end."""

    code = grpc.StatusCode.OUT_OF_RANGE


class NotFoundError(VecgateError):
    """What was named does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(VecgateError):
    """What was to be made exists."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPreconditionError(VecgateError):
    """The request is right, but not in this state."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(FailedPreconditionError):
    """Another writer came between."""

    code = grpc.StatusCode.ABORTED


class ResourceExhaustedError(VecgateError):
    """A bound was reached; with `retry_after` the client has already waited as long as the deadline let it."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnavailableError(VecgateError):
    """No server there, or not now."""

    code = grpc.StatusCode.UNAVAILABLE


class TlsError(UnavailableError):
    """Client and server do not agree on TLS, and will not until one of them is told otherwise; `reason` says in what."""


class DeadlineExceededError(VecgateError):
    """No answer in time; whether the call had its effect is unknown."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class CallCancelledError(VecgateError):
    """The server or a proxy cancelled the call."""

    code = grpc.StatusCode.CANCELLED


class UnauthenticatedError(VecgateError):
    """The server does not know who is calling."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(VecgateError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class UnimplementedError(VecgateError):
    """This server, or this backend, cannot do it; the message says what."""

    code = grpc.StatusCode.UNIMPLEMENTED


class DataLossError(VecgateError):
    """What was stored cannot be read."""

    code = grpc.StatusCode.DATA_LOSS


class InternalError(VecgateError):
    """A fault of the server."""

    code = grpc.StatusCode.INTERNAL


class UnknownError(VecgateError):
    """A failure without a known status code."""


class OutdatedClientError(UnknownError):
    """The answer holds something that this version of the client has no type for; a newer one will."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="CLIENT_OUTDATED")


ERROR_CLASSES: dict[grpc.StatusCode, type[VecgateError]] = {
    error_class.code: error_class
    for error_class in (
        InvalidArgumentError,
        OutOfRangeError,
        NotFoundError,
        AlreadyExistsError,
        FailedPreconditionError,
        AbortedError,
        ResourceExhaustedError,
        UnavailableError,
        DeadlineExceededError,
        CallCancelledError,
        UnauthenticatedError,
        PermissionDeniedError,
        UnimplementedError,
        DataLossError,
        InternalError,
        UnknownError,
    )
}
"""gRPC status code → the class raised for it; every code but OK."""
