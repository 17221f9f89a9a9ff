"""One call under way: its id, its clock, who makes it, and its end."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Never, TypeAlias

import grpc
import grpc.aio
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from vecgate_backends.errors import VecgateError
from vecgate_server.call_clock import begin_clock
from vecgate_server.calls.caller import ANYBODY, Caller, caller
from vecgate_server.calls.observer import CallObserver, EndedCall
from vecgate_server.deadline import set_seconds_left
from vecgate_server.errors import AnswersUnreadError
from vecgate_server.status import internal_status, status_code, status_message
from vecgate_server.stream_requests import DEPARTURE_SECONDS
from vecgate_server.telemetry import request_id

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

REQUEST_ID = "x-request-id"
DEADLINE_SECONDS = 0.05
"""Before the end of its time, from which on a call that is given up was late: the caller's time ends sooner than ours, by the way of its request."""
_REQUEST_ID_RULE = re.compile(r"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


class Call:
    """Begins when it is made; succeed(), fail() or cancelled() ends it."""

    __slots__ = (
        *("_caller", "_context", "_id", "_observers", "_request"),
        *("clock", "metadata", "method", "peer", "received_bytes", "sent_bytes"),
    )

    def __init__(self, method: str, context: Context, observers: Sequence[CallObserver]) -> None:
        self.method = method
        self.metadata: Sequence[tuple[str, str | bytes]] = tuple(context.invocation_metadata() or ())
        self.peer = context.peer()
        self._context = context
        self._observers = observers
        self.clock = begin_clock()
        self.received_bytes = self.sent_bytes = 0
        self._caller = ANYBODY
        self._request: Any = None
        self._id = _request_id(self.metadata)
        request_id.set(self._id)
        caller.set(ANYBODY)
        set_seconds_left(context.time_remaining())

    @property
    def caller(self) -> Caller:
        """Who makes it; nobody until that is known."""
        return self._caller

    def made_by(self, who: Caller) -> None:
        """Note who makes the call."""
        self._caller = who
        caller.set(who)

    def asks(self, request: Any) -> None:
        """Note what it asks for: its request, or of a stream the first."""
        if self._request is None:
            self._request = request

    async def announce(self) -> None:
        """Tell its caller that it begins, and its id, ahead of the answer.

        Raises:
            AnswersUnreadError: it cannot be told; as a rule it went away, which cancels the call first.
        """
        try:
            await self._context.send_initial_metadata(((REQUEST_ID, self._id),))
        except grpc.aio.InternalError:
            await asyncio.sleep(DEPARTURE_SECONDS)
            raise AnswersUnreadError("the caller takes no metadata", retry_after=DEPARTURE_SECONDS) from None

    def succeed(self) -> None:
        """End it well."""
        self._context.set_trailing_metadata(((REQUEST_ID, self._id),))
        log.debug("%s OK in %.1f ms", self.method, self.clock.total_ns / 1e6)
        self._tell(grpc.StatusCode.OK, "")

    def cancelled(self) -> None:
        """End it because its caller went away, or its time was over."""
        late = _is_over(self._context.time_remaining())
        self._tell(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, "")

    async def fail(self, fault: Exception) -> Never:
        """End it with the status of a fault.

        Raises:
            AbortError: gRPC's way to end a call.
        """
        if isinstance(fault, grpc.aio.AbortError):
            raise fault
        milliseconds = self.clock.total_ns / 1e6
        if isinstance(fault, VecgateError):
            code, reason, status = status_code(type(fault)), fault.reason, status_message(fault)
            log.info("%s %s in %.1f ms: %s", self.method, reason, milliseconds, fault.message)
        else:
            code, reason, status = grpc.StatusCode.INTERNAL, "INTERNAL", internal_status(self._id)
            log.error("%s INTERNAL in %.1f ms", self.method, milliseconds, exc_info=fault)
        self._tell(code, reason)
        self._request = None
        _forget_frames(fault)
        await self._abort(status)

    def _tell(self, code: grpc.StatusCode, reason: str) -> None:
        if self._observers:
            ended = EndedCall(
                self.method,
                self._id,
                self.peer,
                self._caller,
                code,
                reason,
                seconds=self.clock.total_ns / 1e9,
                received_bytes=self.received_bytes,
                sent_bytes=self.sent_bytes,
                clock=self.clock,
                request=self._request,
            )
            for observer in self._observers:
                observer.ended(ended)

    async def _abort(self, status: Status) -> Never:
        rich = rpc_status.to_status(status)
        await self._context.abort(rich.code, rich.details, (*rich.trailing_metadata, (REQUEST_ID, self._id)))


def _forget_frames(fault: BaseException | None) -> None:
    """Let go of what the functions that a fault came through had in hand, such as the request and a large answer that was refused.

    gRPC keeps what ends a call, and what that came from, in a cycle that lives until the next full collection of garbage.
    """
    while fault is not None:
        fault.__traceback__ = None
        fault = fault.__context__


def _is_over(seconds_left: float | None) -> bool:
    return seconds_left is not None and seconds_left <= DEADLINE_SECONDS


def _request_id(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Take the caller's id if it is fit for a log, or make one."""
    for key, value in metadata:
        if key == REQUEST_ID and isinstance(value, str) and _REQUEST_ID_RULE.fullmatch(value):
            return value
    return token_hex(16)
