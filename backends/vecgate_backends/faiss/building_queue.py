"""What builds in the background, one thing at a time: the most urgent first, and whoever ordered something may withdraw it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeAlias, TypeVar

from vecgate_backends.faiss.build_steps import BuildStoppedError

ResultT = TypeVar("ResultT")


class Urgency(IntEnum):
    """What comes before what, whoever ordered it and however long others wait; of equal urgency, what was ordered first."""

    FULL_HEAD = 0
    """Every search of the namespace pays for it."""
    SNAPSHOT = 1
    """It holds on to what it captured, and is made soon."""
    REBUILD = 2
    """Of segments, which are searched as they are meanwhile: there may be thousands after a change of the index."""
    END = 3
    """Of the queue."""


_Order: TypeAlias = "tuple[Urgency, int, Future[Any], Callable[[], Any]]"


class BuildingQueue:
    """One thread, and what waits for it."""

    def __init__(self, name: str, begin: Callable[[], None]) -> None:
        """Start the thread; it calls `begin` first."""
        self._orders: PriorityQueue[_Order] = PriorityQueue()
        self._numbers = count()
        self._begin = begin
        # A daemon: nothing is lost if the process ends without stop().
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Count what waits; what is withdrawn and not yet passed over counts too."""
        return self._orders.qsize()

    def submit(self, urgency: Urgency, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Order work; the future may be cancelled until it begins."""
        future: Future[ResultT] = Future()
        self._orders.put((urgency, next(self._numbers), future, work))
        return future

    def stop(self) -> None:
        """Do what is ordered, and end the thread."""
        self.submit(Urgency.END, lambda: None)
        self._thread.join()

    def _run(self) -> None:
        self._begin()
        while True:
            urgency, _, future, work = self._orders.get()
            if future.set_running_or_notify_cancel():
                _do(work, future)
            if urgency is Urgency.END:
                return
            del future, work  # whoever waits for the next order must not keep what this one was made from and came to


class BuildOrders:
    """What one owner has in the queue; used on the event loop."""

    def __init__(self, queue: BuildingQueue) -> None:
        self._queue = queue
        self._futures: set[Future[Any]] = set()
        self._withdrawn = asyncio.Event()

    async def run(self, urgency: Urgency, work: Callable[[], ResultT]) -> ResultT:
        """Have work done in its turn.

        Raises:
            BuildStoppedError: it was withdrawn before it began.
            Exception: whatever the work raises.
        """
        if self._withdrawn.is_set():
            raise BuildStoppedError
        future = self._queue.submit(urgency, work)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._withdrawn.is_set() and future.cancelled():
                raise BuildStoppedError from None
            raise

    def withdraw(self) -> None:
        """Give up what has not begun, and order nothing any more."""
        self._withdrawn.set()
        for future in list(self._futures):
            future.cancel()


def _do(work: Callable[[], Any], future: Future[Any]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # whatever it is belongs to who ordered it
        future.set_exception(error)
    else:
        future.set_result(result)
