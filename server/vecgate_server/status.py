"""Errors as google.rpc.Status: one table from error class to status code, and the details clients act on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from vecgate.v1.outcome_pb2 import FieldViolation, ItemError
from vecgate_backends.errors import (
    DataLossError,
    ExhaustedError,
    ExistsError,
    InvalidArgumentError,
    MissingError,
    PreconditionError,
    UnavailableError,
    UnsupportedError,
    VecgateError,
)
from vecgate_server.errors import PermissionDeniedError, UnauthenticatedError

DOMAIN = "vecgate"

# The status travels in the trailing metadata, of which gRPC refuses more than 8 KiB: the message once percent-encoded, at most
# three bytes a byte, and all three in base64. A refusal quotes what it refuses, which may be any length.
MAX_MESSAGE_BYTES = 1_024
MAX_PATH_BYTES = 1_280
MAX_DESCRIPTION_BYTES = 512

STATUS_CODES: Mapping[type[VecgateError], grpc.StatusCode] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    MissingError: grpc.StatusCode.NOT_FOUND,
    ExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    DataLossError: grpc.StatusCode.DATA_LOSS,
}
"""The branches of the tree; a leaf has the code of the branch it grows from."""


def status_code(error: type[VecgateError]) -> grpc.StatusCode:
    """Return the code of an error class, that of its nearest ancestor in the table.

    Raises:
        LookupError: the class grows from no branch.
    """
    for ancestor in error.__mro__:
        if ancestor in STATUS_CODES:
            return STATUS_CODES[ancestor]
    raise LookupError(f"{error.__name__} has no status code")


def status_message(error: VecgateError) -> Status:
    """Describe an error as google.rpc.Status with ErrorInfo, BadRequest and RetryInfo."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=field, description=description) for field, description in _violations(error)
        ]
        details.append(BadRequest(field_violations=violations))
    if error.retry_after is not None:
        details.append(RetryInfo(retry_delay=_duration(error.retry_after)))
    return Status(
        code=_number(status_code(type(error))),
        message=_shortened(error.message, MAX_MESSAGE_BYTES),
        details=[_packed(detail) for detail in details],
    )


def internal_status(request_id: str) -> Status:
    """Describe a fault of our own by a sentence that says nothing of its cause; the log has it under the request's id."""
    return Status(
        code=_number(grpc.StatusCode.INTERNAL),
        message=f"internal error; the server's log has the cause under request id {request_id}",
        details=[_packed(ErrorInfo(reason="INTERNAL", domain=DOMAIN))],
    )


def item_error(error: VecgateError) -> ItemError:
    """Describe why one item of a batch failed."""
    return ItemError(
        code=_number(status_code(type(error))),
        reason=error.reason,
        message=_shortened(error.message, MAX_MESSAGE_BYTES),
        field_violations=[
            FieldViolation(field=field, description=description) for field, description in _violations(error)
        ],
    )


def _violations(error: VecgateError) -> list[tuple[str, str]]:
    """Return path and description of each wrong field."""
    return [
        (_shortened(violation.field, MAX_PATH_BYTES), _shortened(violation.description, MAX_DESCRIPTION_BYTES))
        for violation in error.violations
    ]


def _shortened(text: str, most: int) -> str:
    """Leave out the middle of a text of more than `most` bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    half = (most - len("…".encode())) // 2
    # What is cut inside a character goes with its rest.
    return f"{encoded[:half].decode(errors='ignore')}…{encoded[-half:].decode(errors='ignore')}"


def _number(code: grpc.StatusCode) -> int:
    number: int = code.value[0]
    return number


def _duration(seconds: float) -> Duration:
    fraction, whole = math.modf(seconds)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
