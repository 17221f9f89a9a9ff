"""Around every call of VectorSearchService: request id, deadline, admission, errors as statuses, one log record.

Health, reflection and channelz pass untouched, so that neither load nor a start under way keeps them from answering.
Messages are parsed and written here rather than by gRPC, so that a request that is no valid message, and a message that passes the
limit, get a status of ours with a reason.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from secrets import token_hex
from typing import Any, Never, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from vecgate_backends.errors import InvalidArgumentError, VecgateError
from vecgate_server.deadline import set_seconds_left
from vecgate_server.draining import shutting_down
from vecgate_server.errors import RequestTooLargeError, ResponseTooLargeError, StartingError, TooManyCallsError
from vecgate_server.status import internal_status, status_message
from vecgate_server.stream_requests import StreamRequests
from vecgate_server.telemetry import CallClock, request_id

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

REQUEST_ID = "x-request-id"
RETRY_SECONDS = 1.0
_REQUEST_ID_RULE = re.compile(r"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


class Phase(Enum):
    """Where the server is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Admission:
    """Decides whether a call may begin: not before the backends are open, not while draining, not over the limit."""

    def __init__(self, max_concurrent_calls: int, progress: Callable[[], str]) -> None:
        """Begin with no call allowed; `progress` tells callers how far the start is, "" if that is not known."""
        self.phase = Phase.STARTING
        self._progress = progress
        self._limit = max_concurrent_calls
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Hold one place for the duration of a call.

        Raises:
            StartingError, ShuttingDownError, TooManyCallsError: the call may not begin.
        """
        if self.phase is Phase.STARTING:
            told = self._progress()
            raise StartingError(f"the server is starting{told and f': {told}'}", retry_after=RETRY_SECONDS)
        if self.phase is Phase.DRAINING:
            raise shutting_down()
        if self._in_hand >= self._limit:
            raise TooManyCallsError(
                f"{self._in_hand} calls are in hand; limits.max_concurrent_calls is {self._limit}",
                retry_after=RETRY_SECONDS,
            )
        self._in_hand += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._idle.set()

    async def drain(self, grace: float) -> bool:
        """Let no call begin from now on; return whether those in hand ended within `grace` seconds."""
        self.phase = Phase.DRAINING
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Method:
    """A method of the service: its behaviour, and how its messages are read and written."""

    name: str
    streams: bool
    behaviour: Callable[[Any, Context], Any]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]

    @classmethod
    def of(cls, name: str, handler: Handler) -> _Method:
        """Take a handler apart; gRPC types it for its blocking server, whence the casts."""
        return cls(
            name,
            bool(handler.request_streaming),
            cast("Any", handler.stream_stream if handler.request_streaming else handler.unary_unary),
            cast("Any", handler.request_deserializer),
            cast("Any", handler.response_serializer),
        )


class WrappingServer:
    """A server where generated code registers a service, with every handler wrapped on its way to the real one.

    What is around a call could be an interceptor of gRPC's; but asking that for its handler again at each call takes longer than
    all that is done here.
    """

    def __init__(self, server: grpc.aio.Server, admission: Admission, *, max_message_bytes: int) -> None:
        self._server = server
        self._admission = admission
        self._max_message_bytes = max_message_bytes
        self._reads: set[asyncio.Future[object]] = set()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Leave out: they are the same handlers for a search by name, which gRPC begins only after the registered ones."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Register the handlers of a service, by the names of their methods."""
        wrapped = {name: self._wrap(_Method.of(name, handler)) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, wrapped)

    def _wrap(self, method: _Method) -> Handler:
        if method.streams:
            return grpc.stream_stream_rpc_method_handler(cast("Any", self._stream(method)))
        return grpc.unary_unary_rpc_method_handler(cast("Any", self._unary(method)))

    def _unary(self, method: _Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def answer(request: bytes, context: Context) -> bytes:
            call = _Call(method.name, context)
            try:
                with self._admission.call():
                    response = await method.behaviour(self._parsed(method, request), context)
                    content = self._checked(method.write(response))
            except Exception as fault:  # noqa: BLE001  # every fault of a call ends here; cancellation is none
                await call.fail(fault)
            call.succeed()
            return content

        return answer

    def _stream(self, method: _Method) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def answer(_: AsyncIterator[bytes], context: Context) -> None:
            call = _Call(method.name, context)
            requests = StreamRequests(context.read, partial(self._parsed, method), self._reads)
            try:
                with self._admission.call():
                    await self._converse(method, requests, context)
            except Exception as fault:  # noqa: BLE001  # as above
                await call.fail(fault)
            call.succeed()

        return answer

    async def _converse(self, method: _Method, requests: StreamRequests[Any], context: Context) -> None:
        try:
            # Closed here and now, whatever ends the call: what it has under way ends with it.
            async with aclosing(method.behaviour(requests, context)) as responses:
                async for response in responses:
                    await context.write(self._checked(method.write(response)))
        except Exception:
            await requests.drop_rest()
            raise

    def _parsed(self, method: _Method, request: bytes) -> Any:
        if len(request) > self._max_message_bytes:
            raise RequestTooLargeError(
                f"the request has {len(request)} bytes, limits.max_message_bytes is {self._max_message_bytes}: "
                "send it in parts"
            )
        try:
            return method.read(request)
        except DecodeError:
            raise InvalidArgumentError(
                "the request is no valid message of this method; strings must be UTF-8"
            ) from None

    def _checked(self, response: bytes) -> bytes:
        if len(response) > self._max_message_bytes:
            raise ResponseTooLargeError(
                f"the answer has {len(response)} bytes, limits.max_message_bytes is {self._max_message_bytes}: "
                "ask for fewer records or fields"
            )
        return response


class _Call:
    """One call under way: its id, its clock, its end."""

    __slots__ = ("_clock", "_context", "_id", "_name")

    def __init__(self, name: str, context: Context) -> None:
        self._name = name
        self._context = context
        self._clock = CallClock()
        self._id = _request_id(context)
        request_id.set(self._id)
        set_seconds_left(context.time_remaining())

    def succeed(self) -> None:
        self._context.set_trailing_metadata(((REQUEST_ID, self._id),))
        log.debug("%s OK in %.1f ms", self._name, self._clock.total_ns / 1e6)

    async def fail(self, fault: Exception) -> Never:
        if isinstance(fault, grpc.aio.AbortError):
            raise fault
        milliseconds = self._clock.total_ns / 1e6
        if isinstance(fault, VecgateError):
            status = status_message(fault)
            log.info("%s %s in %.1f ms: %s", self._name, fault.reason, milliseconds, fault.message)
        else:
            status = internal_status(self._id)
            log.error("%s INTERNAL in %.1f ms", self._name, milliseconds, exc_info=fault)
        await self._abort(status)

    async def _abort(self, status: Status) -> Never:
        rich = rpc_status.to_status(status)
        await self._context.abort(rich.code, rich.details, (*rich.trailing_metadata, (REQUEST_ID, self._id)))


def _request_id(context: Context) -> str:
    """Take the caller's id if it is fit for a log, or make one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and _REQUEST_ID_RULE.fullmatch(value):
            return value
    return token_hex(16)
