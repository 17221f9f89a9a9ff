"""A TCP connection that says in HTTP/2 whatever it is told to, right or wrong.

Libraries that speak HTTP/2 keep its rules; here frames are made one by one, with hyperframe and hpack, and sent as they are.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from hpack import Decoder, Encoder
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/vecgate.v1.VectorSearchService/"
SOCKET_SECONDS = 5.0
FRAME_HEADER_BYTES = 9
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: a close that drops what was not sent and resets the connection."""


def grpc_message(content: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """Frame a message as gRPC does; `length` is what it says its length is, if not the truth."""
    return struct.pack(">BI", compressed, len(content) if length is None else length) + content


class Http2Connection:
    """One connection; a call that the server has already hung up on changes nothing and says so."""

    def __init__(self, address: str, *, preface: bytes = PREFACE, settings: Mapping[int, int] | None = None) -> None:
        """Connect, and send the preface and the settings.

        Args:
            address: HOST:PORT.
            preface: what to begin with; b"": nothing is sent, not even settings.
            settings: identifier → value.
        """
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), SOCKET_SECONDS)
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._received = b""
        self._next_stream = 1
        if preface:
            self.send(preface + SettingsFrame(0, dict(settings or {})).serialize())

    def send(self, content: bytes | Frame) -> bool:
        """Send bytes or a frame; return False if the server does not take them any more."""
        try:
            self._socket.sendall(content.serialize() if isinstance(content, Frame) else content)
        except OSError:
            return False
        return True

    def new_stream(self) -> int:
        """Return the next free stream id of a client."""
        self._next_stream += 2
        return self._next_stream - 2

    def header_block(self, path: str, **headers: str | bytes | None) -> bytes:
        """Encode the headers of a call; an underscore in a name stands for a hyphen, a leading one for a colon, None leaves it out."""
        usual: dict[str, str | bytes | None] = {
            "_method": "POST",
            "_scheme": "http",
            "_path": path,
            "_authority": "localhost",
            "content_type": "application/grpc",
            "te": "trailers",
        }
        fields = [
            ((":" + name[1:] if name.startswith("_") else name).replace("_", "-"), value)
            for name, value in (usual | headers).items()
            if value is not None
        ]
        return bytes(self._encoder.encode(fields))

    def begin(self, method: str, *, stream: int | None = None, **headers: str | bytes | None) -> int:
        """Send the headers of a call and leave it open; return its stream."""
        stream = stream or self.new_stream()
        block = self.header_block(SERVICE + method, **headers)
        self.send(HeadersFrame(stream, block, flags=["END_HEADERS"]))
        return stream

    def call(self, method: str, content: bytes, **headers: str | bytes | None) -> int:
        """Send a whole call whose body is `content` as it is; return its stream."""
        stream = self.begin(method, stream=None, **headers)
        self.send(DataFrame(stream, content, flags=["END_STREAM"]))
        return stream

    def frames(self, seconds: float) -> Iterator[Frame]:
        """Yield what comes within some time, up to the end of the connection, and grant the server as much as it sends."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            frame = self._next_frame()
            if frame is not None:
                if isinstance(frame, DataFrame) and frame.flow_controlled_length:
                    self.send(WindowUpdateFrame(0, frame.flow_controlled_length))
                yield frame
                continue
            self._socket.settimeout(left)
            try:
                received = self._socket.recv(65_536)
            except TimeoutError:
                return
            except OSError:
                received = b""
            self._socket.settimeout(SOCKET_SECONDS)
            if not received:
                return
            self._received += received

    def status(self, stream: int, seconds: float = SOCKET_SECONDS) -> int | None:
        """Wait for the gRPC status of a call; None if the stream or the connection ended without one."""
        for frame in self.frames(seconds):
            if isinstance(frame, HeadersFrame):
                headers: dict[Any, Any] = dict(self._decoder.decode(frame.data))
                if frame.stream_id == stream and "grpc-status" in headers:
                    return int(headers["grpc-status"])
            elif frame.stream_id == stream and type(frame).__name__ == "RstStreamFrame":
                return None
        return None

    def statuses(self, streams: Collection[int], seconds: float = SOCKET_SECONDS) -> dict[int, int | None]:
        """Wait until all of some calls have ended; return their gRPC statuses, None where a stream was reset without one."""
        ended: dict[int, int | None] = {}
        for frame in self.frames(seconds):
            if isinstance(frame, HeadersFrame):
                headers: dict[Any, Any] = dict(self._decoder.decode(frame.data))
                if "grpc-status" in headers:
                    ended[frame.stream_id] = int(headers["grpc-status"])
            elif isinstance(frame, RstStreamFrame):
                ended.setdefault(frame.stream_id, None)
            if len(ended) == len(streams):
                break
        return ended

    def is_ended(self, seconds: float = SOCKET_SECONDS) -> bool:
        """Return whether the server ends the connection within some time."""
        end = time.monotonic() + seconds
        for _ in self.frames(seconds):
            pass
        return time.monotonic() < end

    def close(self, *, abruptly: bool = False) -> None:
        """Close the connection; abruptly, with a reset in the middle of everything."""
        if abruptly:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_frame(self) -> Frame | None:
        if len(self._received) < FRAME_HEADER_BYTES:
            return None
        try:
            frame, length = Frame.parse_frame_header(memoryview(self._received[:FRAME_HEADER_BYTES]))
            if len(self._received) < FRAME_HEADER_BYTES + length:
                return None
            frame.parse_body(memoryview(self._received[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]))
        except HyperframeError as fault:
            raise AssertionError("the server sent a frame that is none") from fault
        self._received = self._received[FRAME_HEADER_BYTES + length :]
        return frame
