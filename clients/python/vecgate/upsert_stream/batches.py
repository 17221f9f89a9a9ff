"""Records in, numbered batches out: each is kept until its fate is known, so that it can be sent again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vecgate.batching import FRAMING_BYTES, BatchBounds
from vecgate.results import RecordFailure
from vecgate.upserting import RecordLike, placed_record
from vecgate.v1.ingest_pb2 import UpsertStreamRequest, UpsertStreamWindow
from vecgate.v1.record_pb2 import Record

BATCHES_IN_A_WINDOW = 4
"""So many batches of the client's choice fill a window: while the server works on one, others arrive and are prepared."""


def bounds_within(bounds: BatchBounds, window: UpsertStreamWindow, *, chosen: bool) -> BatchBounds:
    """Make batches small enough that several are under way.

    Args:
        bounds: what the server's limits allow.
        window: what may be under way.
        chosen: the caller chose the number of records in a batch, which stands.
    """
    items = bounds.items if chosen else min(bounds.items, max(window.records // BATCHES_IN_A_WINDOW, 1))
    return replace(bounds, items=items, bytes=min(bounds.bytes, max(window.bytes // BATCHES_IN_A_WINDOW, 1)))


@dataclass(slots=True)
class HeldBatch:
    """A batch and where its records stand among all.

    Attributes:
        request: the message that carries it; without records if none of them could be sent.
        indexes: place of each of its records.
        unsendable: failures of records among them that could not be sent.
        end: place after its last record, sendable or not.
        size: bytes of its records on the wire.
    """

    request: UpsertStreamRequest
    indexes: list[int]
    unsendable: list[RecordFailure]
    end: int
    size: int

    @property
    def records(self) -> int:
        """How many records it carries."""
        return len(self.indexes)

    @property
    def sequence(self) -> int:
        """Its number in the stream it was sent on last."""
        return self.request.batch.sequence

    def number(self, sequence: int) -> UpsertStreamRequest:
        """Give it its number in a stream, and return the message to send."""
        self.request.batch.sequence = sequence
        return self.request


@dataclass(slots=True)
class BatchMaker:
    """Puts records into the batch in the making, in the order they come; `bounds` are set before the first."""

    bounds: BatchBounds = field(default_factory=lambda: BatchBounds(1, 1, 1))
    taken: int = 0
    size: int = 0
    _messages: list[Record] = field(default_factory=list)
    _indexes: list[int] = field(default_factory=list)
    _unsendable: list[RecordFailure] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many records were put into it, those that cannot be sent included: failures take memory as well."""
        return len(self._indexes) + len(self._unsendable)

    def add(self, item: RecordLike) -> list[HeldBatch]:
        """Take the next record, and return the batches that are complete now: at most two.

        Raises:
            TypeError: it is neither a Record nor a mapping.
        """
        placed = placed_record(self.taken, item, self.bounds)
        complete: list[HeldBatch] = []
        if isinstance(placed, RecordFailure):
            self.taken += 1
            self._unsendable.append(placed)
        else:
            size = placed.size + FRAMING_BYTES
            if self._indexes and self.size + size > self.bounds.bytes:
                complete += self.cut()
            self.taken += 1
            self._messages.append(placed.message)
            self._indexes.append(placed.index)
            self.size += size
        if self.records >= self.bounds.items or self.size >= self.bounds.bytes:
            complete += self.cut()
        return complete

    def cut(self) -> list[HeldBatch]:
        """Return the batch in the making, if it has any records, and begin the next."""
        if not self.records:
            return []
        request = UpsertStreamRequest()
        request.batch.records.extend(self._messages)
        batch = HeldBatch(request, self._indexes, self._unsendable, self.taken, self.size)
        self._messages, self._indexes, self._unsendable, self.size = [], [], [], 0
        return [batch]
