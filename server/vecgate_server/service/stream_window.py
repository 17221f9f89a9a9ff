"""How much the open streams may have under way: what the settings give is divided among them, and each takes less while it is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

LONGEST_STAY_SECONDS = 10.0
"""How long a batch should be under way at most: half of the grace that calls get by default when the server stops, so that what was read
is answered then; and what a client has to send again after a loss stays small."""
FIRST_SHARE = 0.125
"""Of what a stream may get, while nothing is known of how long its batches take."""
NARROWING = 0.5
WIDENING = 1.5
SMALLEST_SHARE = 1 / 1024


@dataclass(frozen=True, slots=True)
class Amount:
    """Some records and their bytes on the wire."""

    records: int
    bytes: int


class StreamWindow:
    """The window of one stream.

    It begins narrow, widens while batches are through soon, and narrows when one finds the encoder full or is under way for too long. But two of its
    batches fit into it however slow it is, so that one is prepared while the other is written; unless there are many streams,
    which have each other for that.
    """

    def __init__(self, windows: StreamWindows, changed: Callable[[], None]) -> None:
        """Begin with nothing under way.

        Args:
            windows: those of the other streams.
            changed: called when `size` may have changed.
        """
        self._windows = windows
        self._changed = changed
        self._share = FIRST_SHARE
        self._narrowed = monotonic()
        self._batch = Amount(1, 1)  # the largest so far
        self._records = 0
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def size(self) -> Amount:
        """What the stream may have under way; both are at least 1."""
        most = self._windows.most_of_one
        return Amount(
            max(1, min(most.records, max(int(self._share * most.records), 2 * self._batch.records))),
            max(1, min(most.bytes, max(int(self._share * most.bytes), 2 * self._batch.bytes))),
        )

    async def room(self) -> None:
        """Wait until another batch may be read: the window is not full, or nothing at all is under way."""
        await self._room.wait()

    def take(self, batch: Amount) -> None:
        """Note that a batch was read."""
        self._records += batch.records
        self._bytes += batch.bytes
        self._batch = Amount(max(self._batch.records, batch.records), max(self._batch.bytes, batch.bytes))
        self.refresh()

    def give_back(self, batch: Amount) -> None:
        """Note that the result of a batch was sent."""
        self._records -= batch.records
        self._bytes -= batch.bytes
        self.refresh()

    def refuse(self, arrived: float) -> None:
        """Narrow, because a batch that arrived then (monotonic seconds) found the encoder full."""
        self._narrow(arrived, NARROWING)

    def pass_through(self, arrived: float) -> None:
        """Note that a batch that arrived then (monotonic seconds) is through now."""
        stay = monotonic() - arrived
        if stay > LONGEST_STAY_SECONDS:
            self._narrow(arrived, max(NARROWING, LONGEST_STAY_SECONDS / stay))
        elif stay < LONGEST_STAY_SECONDS / 2 and self._share < 1:
            self._share = min(1.0, self._share * WIDENING)
            self.refresh()

    def refresh(self) -> None:
        """Follow a change of the size, or of what is under way."""
        size = self.size
        if self._records < size.records and self._bytes < size.bytes:
            self._room.set()
        else:
            self._room.clear()
        self._changed()

    def _narrow(self, arrived: float, factor: float) -> None:
        # Batches that came while the window was wider say nothing of the one there is now.
        if arrived >= self._narrowed:
            self._narrowed = monotonic()
            self._share = max(SMALLEST_SHARE, self._share * factor)
            self.refresh()


class StreamWindows:
    """The windows of all open streams: together they are as wide as the settings say, or one record each."""

    def __init__(self, records: int, bytes_: int) -> None:
        self._most = Amount(records, bytes_)
        self._open: set[StreamWindow] = set()

    @property
    def most_of_one(self) -> Amount:
        """What each stream gets at most."""
        streams = max(1, len(self._open))
        return Amount(self._most.records // streams, self._most.bytes // streams)

    @contextmanager
    def open(self, changed: Callable[[], None]) -> Iterator[StreamWindow]:
        """Give a stream a window for as long as it is open; see StreamWindow."""
        window = StreamWindow(self, changed)
        self._open.add(window)
        self._refresh()
        try:
            yield window
        finally:
            self._open.discard(window)
            self._refresh()

    def _refresh(self) -> None:
        for window in self._open:
            window.refresh()
