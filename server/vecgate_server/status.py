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

DOMAIN = "vecgate"

STATUS_CODES: Mapping[type[VecgateError], grpc.StatusCode] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    MissingError: grpc.StatusCode.NOT_FOUND,
    ExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
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
            BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ]
        details.append(BadRequest(field_violations=violations))
    if error.retry_after is not None:
        details.append(RetryInfo(retry_delay=_duration(error.retry_after)))
    return Status(code=_number(status_code(type(error))), message=error.message, details=[_packed(d) for d in details])


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
        message=error.message,
        field_violations=[
            FieldViolation(field=violation.field, description=violation.description) for violation in error.violations
        ],
    )


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
