"""Calls of a server's methods without a socket: what is around a handler and the handler itself, given bytes, as gRPC gives them.

A hundred times as many a second as over a connection. The context is as strict about what it is told as gRPC's own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from vecgate_server.app import Server
from vecgate_server.calls import wrapping
from vecgate_server.calls.registration import register
from vecgate_server.telemetry import JsonFormatter, TextFormatter

STREAM = "UpsertStream"
CALL_SECONDS = 30.0
DEADLINE = 20.0
FAULTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""What no request may be answered with."""
HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
NOT_IN_A_LOG = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended.

    Attributes:
        code: its status.
        reason: the word of ErrorInfo, "" with OK.
        message: the sentence of the status.
        answers: the messages that were answered.
    """

    code: grpc.StatusCode
    reason: str = ""
    message: str = ""
    answers: Sequence[bytes] = ()


@dataclass(slots=True)
class DirectContext:
    """What a method is given beside the request; takes nothing that gRPC would not take."""

    metadata: Sequence[tuple[str, str | bytes]] = ()
    requests: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    announced: Sequence[tuple[str, str | bytes]] = ()
    trailing: Sequence[tuple[str, str | bytes]] = ()
    ended: Ended | None = None
    done_callbacks: list[Callable[[DirectContext], None]] = field(default_factory=list)

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return self.metadata

    def time_remaining(self) -> float:
        return DEADLINE

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    async def send_initial_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        assert not self.announced, "initial metadata is sent once"
        self.announced = metadata

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        for key, value in metadata:
            assert isinstance(value, bytes if key.endswith("-bin") else str), f"{key} is {value!r}"
            assert isinstance(value, bytes) or HEADER_VALUE.fullmatch(value), f"{key} is {value!r}"
        self.trailing = metadata

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        self.set_trailing_metadata(trailing_metadata)
        details.encode()
        status, info = (
            Status.FromString(dict[str, Any](trailing_metadata).get("grpc-status-details-bin", b"")),
            ErrorInfo(),
        )
        assert (status.code, status.message) == (code.value[0], details)
        assert any(detail.Unpack(info) for detail in status.details), f"{code} without a reason: {details}"
        self.ended = Ended(code, info.reason, details)
        raise grpc.aio.AbortError

    def add_done_callback(self, callback: Callable[[DirectContext], None]) -> None:
        self.done_callbacks.append(callback)

    async def read(self) -> bytes | object:
        return self.requests.pop(0) if self.requests else grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        self.answers.append(message)


class DirectCalls:
    """Calls the methods of one server, and counts how calls ended.

    Attributes:
        endings: calls by method and reason, "" where it went well.
    """

    def __init__(self, server: Server, handlers: Mapping[str, Any]) -> None:
        self.server = server
        self._handlers = handlers
        self.endings: Counter[tuple[str, str]] = Counter()

    @property
    def well(self) -> int:
        """Calls that went well."""
        return sum(calls for (_, reason), calls in self.endings.items() if not reason)

    async def call(
        self, method: str, messages: Sequence[bytes], metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> Ended:
        """Make a call; of a unary method the first message is its request.

        Raises:
            AssertionError: it was not answered in time, by no status, or by a fault of the server.
        """
        context = DirectContext(metadata, list(messages))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._answered(method, context)
            ended = Ended(grpc.StatusCode.OK, answers=context.answers)
        except grpc.aio.AbortError:
            assert context.ended is not None
            ended = context.ended
        except Exception as fault:
            raise AssertionError(said(method, messages, metadata)) from fault
        finally:
            for callback in context.done_callbacks:
                callback(context)
        assert ended.code not in FAULTS, f"{ended}: {said(method, messages, metadata)}"
        self.endings[method, ended.reason] += 1
        return ended

    async def _answered(self, method: str, context: DirectContext) -> None:
        handler = self._handlers[method]
        if method == STREAM:
            await handler.stream_stream(None, context)
        else:
            context.answers = [await handler.stream_unary(None, context)]

    async def ask(self, method: str, request: Message) -> Ended:
        """Make a call that is right."""
        return await self.call(method, [request.SerializeToString()])


def said(method: str, messages: Sequence[bytes], metadata: Sequence[tuple[str, str | bytes]] = ()) -> str:
    """Write a call down, so that it can be made again."""
    return f"({method!r}, {[message.hex() for message in messages]!r}, {list(metadata)!r})"


@asynccontextmanager
async def directly(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DirectCalls]:
    """Start a server, and call what it registers."""
    registered: dict[str, Any] = {}

    def record(grpc_server: Any, service: str, handlers: Mapping[str, Any]) -> None:
        registered.update(handlers)
        register(grpc_server, service, handlers)

    monkeypatch.setattr(wrapping, "register", record)
    async with server:
        yield DirectCalls(server, registered)


class _OneLine(logging.Handler):
    """Writes every record in both forms, and keeps those that would look like two or play with a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.forged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        json.loads(JsonFormatter().format(record))
        text = TextFormatter().format(record)
        if not record.exc_info and NOT_IN_A_LOG.search(text):
            self.forged.append(text)


@contextmanager
def one_line_a_record() -> Iterator[None]:
    """Hold that whatever is logged meanwhile stays on a line of its own."""
    handler, logger = _OneLine(), logging.getLogger("vecgate_server")
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True
    assert not handler.forged, handler.forged[:3]
