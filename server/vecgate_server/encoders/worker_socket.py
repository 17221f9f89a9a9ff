"""A role's socket between a server and a worker: each message goes as its length, 8 bytes, and its pickle.

The worker reads and writes in a thread. The server does both on its event loop: the way through a thread would take longer than
all else that is done for a query beside the model, and would wait for the interpreter just when the server has most to do.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

_LENGTH = struct.Struct("<Q")
# What is received at once; the vectors of a large micro-batch take a few turns.
_CHUNK_BYTES = 1 << 18


def send(end: socket.socket, message: object) -> None:
    """Send a message. Blocks.

    Raises:
        OSError: the other end is closed.
    """
    end.sendall(_framed(message))


def receive(end: socket.socket) -> Any:
    """Receive the next message. Blocks.

    Raises:
        EOFError: the other end is closed.
        Exception: what came cannot be read.
    """
    return pickle.loads(_exactly(end, *_LENGTH.unpack(_exactly(end, _LENGTH.size))))  # noqa: S301  # see worker_messages


class AskingSocket:
    """The server's end: one question at a time, asked and answered on the event loop."""

    def __init__(self, end: socket.socket) -> None:
        """Take the socket over."""
        end.setblocking(False)
        self._end = end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsent = memoryview(b"")
        self._writes = False
        self._received = bytearray()
        self._settle: Callable[[Any], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._closed = False
        # close() in another thread must not come between finding the socket open and giving it to a loop.
        self._binding = Lock()

    def ask(self, message: object, seconds: float, settle: Callable[[Any], None]) -> None:
        """Send a message, and call `settle` on the event loop with the answer.

        With an exception instead if none came within so many seconds, or what came cannot be read, or the other end is closed;
        nothing can be asked any more then. What is known at once is told before this returns.
        """
        self._settle = settle
        try:
            self._begin(message, seconds)
        except Exception as error:  # noqa: BLE001  # whoever waits has to be told, whatever it is
            self._fail(error)

    @property
    def is_open(self) -> bool:
        """Whether something can be asked, as far as is known."""
        return not self._closed

    def close(self) -> None:
        """Close the socket; from any thread, once the process at its other end has ended."""
        with self._binding:
            if self._loop is None or self._loop.is_closed():
                self._closed = True
                self._end.close()
                return
        # The loop reads the socket, and sees the other end close, but may be told of that later than of this.
        with suppress(RuntimeError):  # the loop was closed meanwhile, and the process is ending
            self._loop.call_soon_threadsafe(self._fail, EOFError("the other end is closed"))

    def _begin(self, message: object, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        with self._binding:
            if self._closed:
                raise EOFError("the socket is closed")
            if self._loop is not loop:
                loop.add_reader(self._end, self._readable)
                self._loop = loop
        self._deadline = loop.call_later(seconds, self._fail, TimeoutError(f"no answer within {seconds:.0f} seconds"))
        self._unsent = memoryview(_framed(message))
        self._send()
        if self._unsent:
            self._writes = True
            loop.add_writer(self._end, self._send)

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[self._end.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if not self._unsent and self._writes:
            self._writes = False
            asyncio.get_running_loop().remove_writer(self._end)

    def _readable(self) -> None:
        try:
            part = self._end.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if not part:
            self._fail(EOFError("the other end is closed"))
            return
        self._received += part
        if len(self._received) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack_from(self._received)
        if len(self._received) < _LENGTH.size + length:
            return
        try:
            answer = pickle.loads(memoryview(self._received)[_LENGTH.size :])  # noqa: S301  # of our own process
        except Exception as error:  # noqa: BLE001  # such as after the package was replaced on the disk
            self._fail(error)
            return
        self._received = bytearray()
        self._end_question(answer)

    def _fail(self, error: Exception) -> None:
        with self._binding:
            was_open, self._closed = not self._closed, True
        if was_open:
            self._unsent = memoryview(b"")
            if self._loop is not None:
                self._loop.remove_reader(self._end)
                self._loop.remove_writer(self._end)
            self._end.close()
        self._end_question(error)

    def _end_question(self, answer: object) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(answer)


def _framed(message: object) -> bytes:
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


def _exactly(end: socket.socket, count: int) -> bytearray:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        received = end.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return content
