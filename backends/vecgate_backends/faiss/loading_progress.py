"""How far the loading of a collection is, told in the log and to whoever asks meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

logger = logging.getLogger(__name__)

LOG_SECONDS = 2.0
"""Between lines of the log about one collection."""
STEP = 4096
"""Things that are counted at once."""

ItemT = TypeVar("ItemT")


class LoadingStoppedError(Exception):
    """A loading was given up because the start was."""


class LoadingProgress:
    """Counts what was loaded, and lets that be stopped; used by several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._expected: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._logged = time.monotonic()
        self._stopped = False

    def stop(self) -> None:
        """Let the loading end at its next step."""
        self._stopped = True

    def go_on(self) -> None:
        """Let a step begin.

        Raises:
            LoadingStoppedError: the loading was stopped.
        """
        if self._stopped:
            raise LoadingStoppedError

    def expect(self, what: str, count: int) -> None:
        """Say how many of these will be loaded."""
        with self._lock:
            self._expected[what] = count
            self._done.setdefault(what, 0)

    def advance(self, what: str, count: int) -> None:
        """Count some that were.

        Raises:
            LoadingStoppedError: the loading was stopped.
        """
        self.go_on()
        if not count:
            return
        with self._lock:
            self._done[what] = self._done.get(what, 0) + count
            due = time.monotonic() >= self._logged + LOG_SECONDS
            if due:
                self._logged = time.monotonic()
        if due:
            logger.info("loading %s", self)

    def following(self, what: str, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield the items and count them."""
        count = 0
        for item in items:
            count += 1
            if count == STEP:
                self.advance(what, count)
                count = 0
            yield item
        self.advance(what, count)

    def __str__(self) -> str:
        with self._lock:
            parts = [
                f"{done:,} of {self._expected[what]:,} {what}" if what in self._expected else f"{done:,} {what}"
                for what, done in self._done.items()
            ]
        return f"collection {self._name}: {', '.join(parts) or 'opening its files'}"
