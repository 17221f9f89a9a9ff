"""What is around the behaviour of every method: who calls, admission, quotas, messages read and written, errors as statuses.

Health, reflection and channelz pass untouched, so that neither load nor a start under way keeps them from answering.
Messages are parsed and written here rather than by gRPC, so that a request that is no valid message, and a message that passes the
limit, get a status of ours with a reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from vecgate_backends.errors import InvalidArgumentError
from vecgate_server.calls.admission import Admission
from vecgate_server.calls.announced import is_announced
from vecgate_server.calls.call import Call, Context
from vecgate_server.calls.gate import Gate, OpenGate
from vecgate_server.calls.observer import CallObserver
from vecgate_server.calls.quotas import NoQuotas, Quotas, Turn
from vecgate_server.calls.registration import Services, register
from vecgate_server.calls.tracer import CallTracer
from vecgate_server.calls.unread_answers import UnreadAnswers
from vecgate_server.errors import RequestTooLargeError, ResponseTooLargeError
from vecgate_server.stream_requests import DEPARTURE_SECONDS, StreamRequests

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The parts that every call passes."""

    admission: Admission
    answers: UnreadAnswers
    gate: Gate = field(default_factory=OpenGate)
    quotas: Quotas = field(default_factory=NoQuotas)
    observers: Sequence[CallObserver] = ()
    tracer: CallTracer | None = None

    @contextmanager
    def hold_stream(self, call: Call) -> Iterator[Turn]:
        """Hold the places of a stream for its duration; what is given waits for the turn of each of its messages."""
        with self.admission.stream(), self.quotas.stream(call.caller) as turn:
            yield turn


class WrappingServer:
    """Where generated code registers a service, with every handler wrapped on its way to the real one.

    What is around a call could be an interceptor of gRPC's; but asking that for its handler again at each call takes longer than
    all that is done here.
    """

    def __init__(self, services: Services, surroundings: Surroundings, *, max_message_bytes: int) -> None:
        self._services = services
        self._around = surroundings
        self._max_message_bytes = max_message_bytes
        self._reads: set[asyncio.Future[object]] = set()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Leave out: generated code gives the same handlers by name, which can be wrapped one by one."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Register the handlers of a service, by the names of their methods."""
        wrapped = {name: self._wrap(service, _Method.of(name, handler)) for name, handler in handlers.items()}
        register(self._services, service, wrapped)

    def _wrap(self, service: str, method: _Method) -> Handler:
        behaviour: Callable[[Any, Context], Awaitable[Any]]
        behaviour = self._stream(method) if method.streams else self._unary(method)
        if self._around.tracer is not None:
            behaviour = self._around.tracer.around(f"/{service}/{method.name}", behaviour)
        # To gRPC every request is a stream: of one of a single message it would read that message before it asks anybody.
        make = grpc.stream_stream_rpc_method_handler if method.streams else grpc.stream_unary_rpc_method_handler
        return make(cast("Any", behaviour))

    def _begin(self, method: _Method, context: Context) -> Call:
        call = Call(method.name, context, self._around.observers)
        if self._around.tracer is not None:
            self._around.tracer.begin(call.clock)
        return call

    def _unary(self, method: _Method) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]:
        async def answer(_: AsyncIterator[bytes], context: Context) -> bytes:
            call = self._begin(method, context)
            try:
                content = await self._answer(method, call, context)
            except asyncio.CancelledError:
                call.cancelled()
                raise
            except Exception as fault:  # noqa: BLE001  # every fault of a call ends here
                await call.fail(fault)
            call.succeed()
            return content

        return answer

    async def _answer(self, method: _Method, call: Call, context: Context) -> bytes:
        await self._identify(call)
        request = await _only_message(context)
        around = self._around
        with around.admission.call(len(request)), around.quotas.call(call.caller):
            around.answers.admit(call.peer)
            asked = self._read(method, call, request)
            if is_announced(method.name, asked):
                await call.announce()
            response = await method.behaviour(asked, context)
            content = self._checked(call, method.write(response))
            around.answers.send(context, method.name, call.peer, len(content))
        return content

    def _stream(self, method: _Method) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def answer(_: AsyncIterator[bytes], context: Context) -> None:
            call = self._begin(method, context)
            try:
                await self._identify(call)
                with self._around.hold_stream(call) as turn:
                    requests = StreamRequests(context.read, partial(self._read, method, call), self._reads, turn)
                    await self._converse(call, method, requests, context)
            except asyncio.CancelledError:
                call.cancelled()
                raise
            except Exception as fault:  # noqa: BLE001  # as above
                await call.fail(fault)
            call.succeed()

        return answer

    async def _identify(self, call: Call) -> None:
        gate = self._around.gate
        call.made_by(await gate.identify(call.method, call.metadata, call.peer))
        gate.admit(call.caller, call.method)

    async def _converse(self, call: Call, method: _Method, requests: StreamRequests[Any], context: Context) -> None:
        try:
            # Closed here and now, whatever ends the call: what it has under way ends with it.
            async with aclosing(method.behaviour(requests, context)) as responses:
                async for response in responses:
                    await context.write(self._checked(call, method.write(response)))
        except Exception:
            await requests.drop_rest()
            raise

    def _read(self, method: _Method, call: Call, message: bytes) -> Any:
        call.received_bytes += len(message)
        request = self._parsed(method, message)
        call.asks(request)
        self._around.gate.authorize(call.caller, method.name, request)
        return request

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

    def _checked(self, call: Call, response: bytes) -> bytes:
        if len(response) > self._max_message_bytes:
            raise ResponseTooLargeError(
                f"the answer has {len(response)} bytes, limits.max_message_bytes is {self._max_message_bytes}: "
                "ask for fewer records or fields"
            )
        call.sent_bytes += len(response)
        return response


async def _only_message(context: Context) -> bytes:
    """Read the request of a call that has one.

    Raises:
        InvalidArgumentError: there is none.
    """
    message: object = await context.read()
    if not isinstance(message, bytes):
        # As a rule its caller went away while it sent, which ends this wait.
        await asyncio.sleep(DEPARTURE_SECONDS)
        raise InvalidArgumentError("the call has no request")
    return message
