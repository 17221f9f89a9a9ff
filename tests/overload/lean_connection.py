"""A connection that makes gRPC calls out of bytes made beforehand, at a few microseconds of the client's own time each.

Clients of a load run on the machine of the server that they measure, and what they take is missing there: gRPC's own takes as long for a
call as the server does for many. Every header block is sent and asked for without HPACK's dynamic table, so that each can be made, and
looked into, by itself (RFC 7541, sections 4.2 and 6.2.3).
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hostile.http2_connection import FRAME_HEADER_BYTES, PREFACE, grpc_message
from hpack import Encoder, NeverIndexedHeaderTuple
from typing_extensions import override

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4
"""RFC 9113, sections 6 and 6.5.2."""
CANCEL = 8
FRAME_BYTES = 16_384
FIRST_WINDOW_BYTES = 65_535
WINDOW_BYTES = 1 << 24
"""Of answers that the server may send before it is told that they were read."""
STATUS = b"\x0bgrpc-status"
"""The name as HPACK writes it without Huffman's code; the value follows."""

Ended: TypeAlias = Callable[[int | None], None]
"""Is told the gRPC status of a call; None: its stream or connection ended without one."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call ready to be sent: its header block, and the frames after it without their stream, as (head, content)."""

    headers: bytes
    frames: Sequence[tuple[bytes, bytes]]
    size: int


def prepared(path: str, messages: Sequence[bytes], deadline: float) -> Prepared:
    """Make the bytes of a call.

    Args:
        path: of its method.
        messages: what it sends, serialised.
        deadline: whole seconds that it gives the server.
    """
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        "grpc-timeout": f"{deadline:.0f}S",
    }
    block = Encoder().encode([NeverIndexedHeaderTuple(*field) for field in fields.items()], huffman=False)
    body = b"".join(map(grpc_message, messages))
    starts = range(0, len(body), FRAME_BYTES)
    parts = [body[start : start + FRAME_BYTES] for start in starts]
    frames = [
        (_head(len(part), DATA, END_STREAM if start == starts[-1] else 0), part)
        for start, part in zip(starts, parts, strict=True)
    ]
    return Prepared(_head(len(block), HEADERS, END_HEADERS) + bytes(4) + bytes(block), frames, len(body))


def _head(length: int, kind: int, flags: int) -> bytes:
    return length.to_bytes(3, "big") + bytes((kind, flags))


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return _head(len(content), kind, flags) + stream.to_bytes(4, "big") + content


@dataclass(slots=True)
class _Waiting:
    call: Prepared
    deadline: float
    ended: Ended


class LeanConnection(asyncio.Protocol):
    """Made by connect(); calls beyond what the server lets in at once wait here, as in every client of gRPC."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._open: dict[int, tuple[float, Ended]] = {}
        self._waiting: deque[_Waiting] = deque()
        self._next_stream = 1
        self._credit = FIRST_WINDOW_BYTES
        self._most_streams = 100
        self._unread = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call(self, call: Prepared, seconds: float, ended: Ended) -> None:
        """Make a call, which `ended` is told the end of; it has so many seconds."""
        self._waiting.append(_Waiting(call, time.monotonic() + seconds, ended))
        self._send_waiting()

    def end_late(self) -> None:
        """Give up the calls whose time is over; to be called now and then."""
        now = time.monotonic()
        for stream in [stream for stream, (deadline, _) in self._open.items() if deadline <= now]:
            self._send(_frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
            self._end(stream, LATE)
        while self._waiting and self._waiting[0].deadline <= now:
            self._waiting.popleft().ended(LATE)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, WINDOW_BYTES)
        self._send(PREFACE + _frame(SETTINGS, 0, 0, settings))
        self._send(_frame(WINDOW_UPDATE, 0, 0, WINDOW_BYTES.to_bytes(4, "big")))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        for stream in list(self._open):
            self._end(stream, None)
        while self._waiting:
            self._waiting.popleft().ended(None)

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= FRAME_HEADER_BYTES:
            length = int.from_bytes(received[at : at + 3], "big")
            end = at + FRAME_HEADER_BYTES + length
            if len(received) < end:
                break
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            self._take(received[at + 3], received[at + 4], stream, received[at + FRAME_HEADER_BYTES : end])
            at = end
        del received[:at]
        self._send_waiting()

    def _take(self, kind: int, flags: int, stream: int, content: bytearray) -> None:
        if kind == DATA:
            self._unread += len(content)
            if self._unread > WINDOW_BYTES // 2:
                self._send(_frame(WINDOW_UPDATE, 0, 0, self._unread.to_bytes(4, "big")))
                self._unread = 0
        elif kind == HEADERS:
            if flags & END_STREAM:
                self._end(stream, _status(content))
        elif kind == WINDOW_UPDATE:
            self._credit += 0 if stream else int.from_bytes(content, "big")
        elif kind == RST_STREAM:
            self._end(stream, CANCELLED if int.from_bytes(content, "big") == CANCEL else None)
        elif kind in {SETTINGS, PING} and not flags & ACK:
            self._send(_frame(kind, ACK, 0, bytes(content) if kind == PING else b""))
            if kind == SETTINGS:
                self._settle(content)

    def _settle(self, content: bytearray) -> None:
        settings = dict(struct.iter_unpack(">HI", content))
        self._most_streams = settings.get(MAX_CONCURRENT_STREAMS, self._most_streams)
        if not self.ready.done():
            self.ready.set_result(None)

    def _send_waiting(self) -> None:
        while self._waiting and len(self._open) < self._most_streams and self._credit >= self._waiting[0].call.size:
            waiting = self._waiting.popleft()
            stream = self._next_stream
            self._next_stream += 2
            self._open[stream] = waiting.deadline, waiting.ended
            self._credit -= waiting.call.size
            number = stream.to_bytes(4, "big")
            block = waiting.call.headers
            parts = [block[:5], number, block[FRAME_HEADER_BYTES:]]
            for head, content in waiting.call.frames:
                parts += (head, number, content)
            self._send(b"".join(parts))

    def _send(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)

    def _end(self, stream: int, status: int | None) -> None:
        _, ended = self._open.pop(stream, (0.0, None))
        if ended is not None:
            ended(status)


CANCELLED, LATE = 1, 4
"""Statuses of gRPC."""


def _status(block: bytearray) -> int | None:
    at = block.find(STATUS) + len(STATUS)
    return int(block[at + 1 : at + 1 + block[at]]) if at >= len(STATUS) else None


async def connect(address: str) -> LeanConnection:
    """Connect to HOST:PORT, and wait for the server's settings."""
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(LeanConnection, host.strip("[]"), int(port))
    await connection.ready
    return connection
