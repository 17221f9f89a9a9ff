"""A failed call → the error to raise, from its status code and google.rpc details, never from its text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from vecgate.errors import ERROR_CLASSES, FieldViolation, TlsError, UnavailableError, UnknownError, VecgateError
from vecgate.handshakes import handshake_fault, hang_up_hint

REQUEST_ID_KEY = "x-request-id"
"""Metadata in which the server tells its id of the call: trailing, and of some writes initial too."""

Detail = TypeVar("Detail", bound=Message)


class FailedCall(Protocol):
    """What the errors of grpc and grpc.aio have in common."""

    def code(self) -> grpc.StatusCode:
        """Return the status code."""

    def details(self) -> str | None:
        """Return the sentence for people."""

    def trailing_metadata(self) -> Iterable[Any] | None:
        """Return pairs of key and value."""


def error_from_call(call: FailedCall, target: str, *, encrypted: bool = False) -> VecgateError:
    """Build the error of a failed call.

    Args:
        call: what failed.
        target: named where the answer came from no vecgate server.
        encrypted: the channel speaks TLS.
    """
    status = _status(call)
    info = _detail(status, error_details_pb2.ErrorInfo)
    if call.code() is grpc.StatusCode.UNAVAILABLE and info is None:
        return _connection_error(call, target, encrypted=encrypted)
    bad_request = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    sentence = call.details() or f"the call failed with {call.code().name}"
    return ERROR_CLASSES.get(call.code(), UnknownError)(
        sentence if info else f"{target}: {sentence}",
        reason=info.reason if info else "",
        violations=[FieldViolation(wrong.field, wrong.description) for wrong in bad_request.field_violations]
        if bad_request
        else (),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        request_id=_request_id(call),
    )


def _connection_error(call: FailedCall, target: str, *, encrypted: bool) -> VecgateError:
    """Build the error of a call that met no vecgate server."""
    details = call.details() or "the server cannot be reached"
    if fault := handshake_fault(details, encrypted=encrypted):
        return TlsError(f"{target}: {fault.sentence}", reason=fault.reason)
    hint = hang_up_hint(details, encrypted=encrypted)
    return UnavailableError(f"{target}: {details}{hint and f'; {hint}'}", request_id=_request_id(call))


def _status(call: FailedCall) -> status_pb2.Status:
    try:
        status = rpc_status.from_call(cast("grpc.Call", call))
    except ValueError:
        # A proxy changed the code or the sentence: the details then belong to another failure.
        status = None
    return status or status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[Detail]) -> Detail | None:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


def _request_id(call: FailedCall) -> str | None:
    announced = cast("grpc.Call", call).initial_metadata()
    for key, value in (*(call.trailing_metadata() or ()), *(announced or ())):
        if key == REQUEST_ID_KEY:
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return None
