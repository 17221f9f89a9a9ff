"""What is under way on a stream, and what the server's window still lets out."""

from __future__ import annotations

from collections import deque

from vecgate.upsert_stream.batches import HeldBatch
from vecgate.v1.ingest_pb2 import UpsertStreamWindow


class Flight:
    """Batches in the order of their records: those that were sent and have no result, then those to be sent.

    A batch without records is never sent, and settles when those before it have. After a stream that broke off, the first batch of the
    next goes alone: what went wrong may go wrong again, and is told best with nothing else under way.
    """

    def __init__(self) -> None:
        self._sent: deque[HeldBatch] = deque()
        self._waiting: deque[HeldBatch] = deque()
        self._records = 0
        self._bytes = 0
        self._sequence = 0
        self._careful = False
        self.window: UpsertStreamWindow | None = None

    @property
    def has_waiting(self) -> bool:
        """Whether a batch is to be sent."""
        return bool(self._waiting)

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self._sent and not self._waiting

    @property
    def unanswered(self) -> int:
        """Records that were sent and have no result."""
        return self._records

    @property
    def held(self) -> tuple[int, int]:
        """Records and bytes that are held, sent or not."""
        held = [*self._sent, *self._waiting]
        return sum(batch.records for batch in held), sum(batch.size for batch in held)

    def lets_out(self, records: int, size: int) -> bool:
        """Tell whether so much more may be under way; with nothing under way, one batch of any size may."""
        if self.window is None:
            return False
        within = self._records + records <= self.window.records and self._bytes + size <= self.window.bytes
        return (within and not self._careful) or not self._records

    def hold(self, batch: HeldBatch) -> None:
        """Take a batch that is to be sent after all others."""
        self._waiting.append(batch)

    def depart(self) -> HeldBatch | None:
        """Number the next batch and count it as sent; None if there is none, or the window holds it back."""
        while self._waiting and not self._waiting[0].records:
            self._sent.append(self._waiting.popleft())
        if not self._waiting or not self.lets_out(self._waiting[0].records, self._waiting[0].size):
            return None
        batch = self._waiting.popleft()
        self._sequence += 1
        batch.number(self._sequence)
        self._sent.append(batch)
        self._records += batch.records
        self._bytes += batch.size
        return batch

    def arrive(self, sequence: int) -> HeldBatch | None:
        """Take out the batch that a result is for; None if it is not its turn."""
        if not self._sent or self._sent[0].sequence != sequence:
            return None
        self._careful = False
        batch = self._sent.popleft()
        self._records -= batch.records
        self._bytes -= batch.size
        return batch

    def unsendable(self) -> HeldBatch | None:
        """Take out a batch without records if it is its turn."""
        return self._sent.popleft() if self._sent and not self._sent[0].records else None

    def received(self, sequence: int) -> int:
        """Return the place after the last record of the batches up to this number; 0 if none of them is under way."""
        return max((batch.end for batch in self._sent if batch.records and batch.sequence <= sequence), default=0)

    def ground(self) -> None:
        """Forget the stream: what has no result is to be sent again, before all else and in the same order."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._records = self._bytes = self._sequence = 0
        self._careful = True
        self.window = None
