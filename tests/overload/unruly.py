"""Clients that vanish, stall and cancel, beside those that behave; in a process of its own, which has no gRPC."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NoReturn

from hostile.http2_connection import Http2Connection, grpc_message
from hyperframe.frame import DataFrame, RstStreamFrame

from overload.mix import Kind, kinds
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import GetRequest
from vecgate.v1.record_pb2 import ReturnFields

CANCEL = 8
"""RFC 9113, section 7."""
INITIAL_WINDOW_SIZE = 4
"""RFC 9113, section 6.5.2."""
CALLS = 8
STALLED = 6
"""Connections that read nothing are kept; one more, and the first is closed."""
ACTS_A_SECOND = 5.0


@contextmanager
def misbehaving(address: str, seconds: float) -> Iterator[Future[dict[str, int]]]:
    """Misbehave for some seconds beside the with-block; the future tells how often each thing was done."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        yield process.submit(misbehave, address, seconds)


def misbehave(address: str, seconds: float) -> dict[str, int]:
    """Misbehave for some seconds, and return how often each thing was done."""
    unruly = _Unruly(address)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        unruly.act()
        time.sleep(1 / ACTS_A_SECOND)
    unruly.end()
    return unruly.done


class _Unruly:
    def __init__(self, address: str) -> None:
        self._address = address
        self._chance = random.Random(5)
        self._kinds = list(kinds().values())
        self._stalled: deque[Http2Connection] = deque()
        self._acts: list[Callable[[], None]] = [self.cancel, self.vanish, self.be_killed, self.stall, self.go_silent]
        self.done = dict.fromkeys((act.__name__ for act in self._acts), 0)

    def act(self) -> None:
        act = self._chance.choice(self._acts)
        act()
        self.done[act.__name__] += 1

    def end(self) -> None:
        while self._stalled:
            self._stalled.popleft().close()

    def cancel(self) -> None:
        """Begin calls, and cancel each after a moment."""
        with Http2Connection(self._address) as connection:
            for _ in range(CALLS):
                stream = self._ask(connection)
                time.sleep(self._chance.uniform(0, 0.01))
                connection.send(RstStreamFrame(stream, CANCEL))

    def vanish(self) -> None:
        """Reset the connection in the middle of calls."""
        connection = Http2Connection(self._address)
        for _ in range(CALLS):
            self._ask(connection)
        time.sleep(self._chance.uniform(0, 0.05))
        connection.close(abruptly=True)

    def be_killed(self) -> None:
        """Let a process of its own make calls, and send it SIGKILL."""
        child = os.fork()
        if not child:
            self._ask_for_ever()
        time.sleep(self._chance.uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def _ask_for_ever(self) -> NoReturn:
        try:
            connection = Http2Connection(self._address)
            while True:
                self._ask(connection)
                time.sleep(0.005)
        finally:
            os._exit(1)

    def stall(self) -> None:
        """Ask for large answers, and read none of them."""
        connection = Http2Connection(self._address, settings={INITIAL_WINDOW_SIZE: 0})
        everything = GetRequest(
            collection="load", selector=Selector(all=True), fields=ReturnFields(vector=True), limit=100
        )
        for _ in range(CALLS):
            connection.call("Get", grpc_message(everything.SerializeToString()))
        self._keep(connection)

    def go_silent(self) -> None:
        """Begin calls, send half of their messages, and say no more."""
        connection = Http2Connection(self._address)
        for _ in range(CALLS):
            kind = self._chance.choice(self._kinds)
            stream = connection.begin(kind.method)
            content = grpc_message(self._chance.choice(kind.requests)[0])
            connection.send(DataFrame(stream, content[: len(content) // 2]))
        self._keep(connection)

    def _keep(self, connection: Http2Connection) -> None:
        self._stalled.append(connection)
        if len(self._stalled) > STALLED:
            self._stalled.popleft().close(abruptly=self._chance.random() < 0.5)

    def _ask(self, connection: Http2Connection) -> int:
        kind: Kind = self._chance.choice(self._kinds)
        content = b"".join(grpc_message(message) for message in self._chance.choice(kind.requests))
        return connection.call(kind.method, content)
