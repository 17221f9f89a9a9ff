"""A server that resets every call with CANCEL, as gRPC and proxies do, after it announced the call or without."""

from __future__ import annotations

import socket
import threading
from typing import Self

from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

CANCEL = 8
PREFACE_BYTES = 24
FRAME_HEADER_BYTES = 9
REQUEST_ID = "request-7"


class ResetServer:
    """Serves from entry to exit of a with-block.

    Attributes:
        target: where.
        calls: that came.
    """

    def __init__(self, *, announced: bool) -> None:
        self._announced = announced
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.calls = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread that waits, which close() alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        encoder = Encoder()
        with connection, connection.makefile("rb") as received:
            received.read(PREFACE_BYTES)
            connection.sendall(SettingsFrame(0).serialize())
            while len(header := received.read(FRAME_HEADER_BYTES)) == FRAME_HEADER_BYTES:
                frame, length = Frame.parse_frame_header(memoryview(header))
                frame.parse_body(memoryview(received.read(length)))
                for answer in self._answers(frame, encoder):
                    connection.sendall(answer.serialize())

    def _answers(self, frame: Frame, encoder: Encoder) -> list[Frame]:
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            return [SettingsFrame(0, flags=["ACK"])]
        if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            return [PingFrame(0, frame.opaque_data, flags=["ACK"])]
        if not (isinstance(frame, DataFrame) and "END_STREAM" in frame.flags):
            return []
        self.calls += 1
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("x-request-id", REQUEST_ID)]
        announcement = HeadersFrame(frame.stream_id, encoder.encode(headers), flags=["END_HEADERS"])
        reset = RstStreamFrame(frame.stream_id, error_code=CANCEL)
        return [announcement, reset] if self._announced else [reset]
