"""An upsert over any number of streams, apart from sockets: records and answers in, messages and results out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from vecgate.batching import batch_bounds
from vecgate.errors import InternalError, VecgateError
from vecgate.results import RecordFailure, UpsertProgress, UpsertResult
from vecgate.server_info import Limits
from vecgate.upsert_stream.batches import BatchMaker, HeldBatch, bounds_within
from vecgate.upsert_stream.flight import Flight
from vecgate.upserting import BatchFate, RecordLike, UpsertTally
from vecgate.v1.ingest_pb2 import (
    UpsertStreamClose,
    UpsertStreamOpen,
    UpsertStreamRequest,
    UpsertStreamResponse,
    UpsertStreamResult,
    UpsertStreamWindow,
)
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate.wire.outcomes import error_from_item

LINGER_SECONDS = 1.0
"""A batch that is not full goes out when its first record has waited so long: records that trickle in are stored all the same."""


def stream_open(frame: UpsertRequest) -> UpsertStreamOpen:
    """Build the first message of a stream from an upsert's request without records."""
    return UpsertStreamOpen(
        collection=frame.collection,
        namespace=frame.namespace,
        mode=frame.mode,
        acknowledgement=frame.acknowledgement,
        truncation=frame.truncation,
        vector_fingerprint=frame.vector_fingerprint if frame.HasField("vector_fingerprint") else None,
    )


class UpsertSession:
    """Where an upsert stands: what is in the making, under way and finished.

    On each stream: begin_stream(), then messages() to send and receive() for each answer, in any order that the network
    makes, and end_stream(). While `wants_records`, add() may be called, and end_source() once there are no more.
    Held are never more records than the window that the server gave, or one batch.

    Attributes:
        unsettled: records that had been sent on the last stream and had no result when it ended.
    """

    def __init__(
        self,
        opening: UpsertStreamOpen,
        *,
        batch_size: int | None = None,
        on_progress: Callable[[UpsertProgress], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if on_progress is not None and not callable(on_progress):
            raise TypeError(f"on_progress: expected a function, got {type(on_progress).__name__}")
        self._opening = opening
        self._batch_size = batch_size
        self._on_progress = on_progress
        self._clock = clock
        self._tally = UpsertTally(collecting=on_progress is None)
        self._flight = Flight()
        self._maker = BatchMaker()
        self._bounds = self._maker.bounds
        self._began = 0.0
        self._source_ended = False
        self._opened = self._closed = self._draining = False
        self._streams = 0
        self._sent = self._finished = self._received = 0
        self.unsettled = 0

    @property
    def wants_records(self) -> bool:
        """Whether the next record may be read: there is room for it in the window, and nothing waits before it."""
        if self._source_ended or self._draining or self._flight.has_waiting:
            return False
        return self._flight.lets_out(self._maker.records + 1, self._maker.size + 1)

    @property
    def expects_answer(self) -> bool:
        """Whether something is expected of the server: a window, a result."""
        return self._flight.window is None or bool(self._flight.unanswered)

    @property
    def handed_over(self) -> bool:
        """Whether the server goes away and owes nothing: the next stream may begin."""
        return self._draining and not self._flight.unanswered

    @property
    def settled(self) -> bool:
        """Whether every record has a result, and no more come."""
        return self._source_ended and self._flight.empty

    @property
    def held(self) -> tuple[int, int]:
        """Records and bytes that are held because their fate is unknown."""
        records, size = self._flight.held
        return records + self._maker.records, size + self._maker.size

    def begin_stream(self, limits: Limits) -> None:
        """Prepare for another stream, to a server with these limits.

        Raises:
            InvalidArgumentError: the batch size is not within them.
        """
        self._bounds = self._maker.bounds = batch_bounds(limits, self._batch_size)
        self._opened = self._closed = self._draining = False

    def add(self, item: RecordLike) -> None:
        """Take the next record.

        Raises:
            TypeError: it is neither a Record nor a mapping.
        """
        began = self._maker.records == 0
        batches = self._maker.add(item)
        if began or batches:
            self._began = self._clock()
        self._hold(batches)
        self.cut_if_late()

    def cut_if_late(self) -> float:
        """Let the batch in the making go if it has waited long enough; return the seconds until it will have."""
        if not self._maker.records:
            return LINGER_SECONDS
        left = self._began + LINGER_SECONDS - self._clock()
        if left <= 0:
            self._hold(self._maker.cut())
        return max(left, 0.0)

    def end_source(self) -> None:
        """Note that no more records come."""
        self._source_ended = True
        self._hold(self._maker.cut())

    def messages(self) -> Iterator[UpsertStreamRequest]:
        """Yield what is to be sent now, and count it as sent."""
        if not self._opened:
            self._opened = True
            yield UpsertStreamRequest(open=self._opening)
        if self._draining:
            return
        while (batch := self._flight.depart()) is not None:
            self._sent = max(self._sent, batch.end)
            yield batch.request
        self._settle_unsendable()
        complete = self._source_ended and not self._flight.has_waiting
        if complete and not self._closed and self._flight.window is not None:
            self._closed = True
            yield UpsertStreamRequest(close=UpsertStreamClose())

    def receive(self, response: UpsertStreamResponse) -> bool:
        """Take an answer, and return whether it is progress: a result, or a receipt of records that never got as far.

        Raises:
            InternalError: it answers what was not asked.
        """
        match response.WhichOneof("message"):
            case "window":
                self._resize(response.window)
            case "receipt":
                arrived = self._flight.received(response.receipt.sequence)
                progress, self._received = arrived > self._received, max(arrived, self._received)
                return progress
            case "result":
                self._settle(response.result)
                return True
            case "shutdown":
                self._draining = True
        return False

    def end_stream(self, error: VecgateError | None) -> VecgateError | None:
        """Note that the stream ended, and return why another is needed; None: everything is done."""
        if self.settled:
            return None
        self.unsettled = self._flight.unanswered
        self._flight.ground()
        return error or InternalError("the server ended the stream before it had answered every batch")

    def result(self) -> UpsertResult:
        """Sum up what is finished."""
        return self._tally.result()

    def _hold(self, batches: Sequence[HeldBatch]) -> None:
        for batch in batches:
            self._flight.hold(batch)

    def _resize(self, window: UpsertStreamWindow) -> None:
        self._streams += self._flight.window is None
        self._flight.window = window
        self._maker.bounds = bounds_within(self._bounds, window, chosen=self._batch_size is not None)

    def _settle(self, result: UpsertStreamResult) -> None:
        batch = self._flight.arrive(result.sequence)
        if batch is None:
            raise self._fault(f"the server answered batch {result.sequence} of the stream out of turn")
        if result.HasField("error"):
            self._finish(batch, self._tally.note_fate(_all_failed(batch, result)))
        elif len(result.outcomes) != batch.records:
            raise self._fault(f"the server gave {len(result.outcomes)} outcomes for {batch.records} records")
        else:
            self._tally.note_write(searchable=result.searchable, consistency_token=result.consistency_token)
            self._finish(batch, self._tally.note_outcomes(batch.indexes, result.outcomes, batch.unsendable))
        self._settle_unsendable()

    def _settle_unsendable(self) -> None:
        while (batch := self._flight.unsendable()) is not None:
            self._finish(batch, self._tally.note_fate(BatchFate(tuple(batch.unsendable), ())))

    def _finish(self, batch: HeldBatch, fate: BatchFate) -> None:
        self._finished = batch.end
        if self._on_progress is not None:
            self._on_progress(
                UpsertProgress(
                    sent=max(self._sent, self._finished),
                    finished=self._finished,
                    stored=self._tally.stored,
                    failures=fate.failures,
                    reused=self._tally.reused,
                    truncated=fate.truncated,
                    reconnects=self._streams - 1,
                )
            )

    def _fault(self, sentence: str) -> VecgateError:
        error = InternalError(sentence)
        error.acknowledged = self.result()
        return error


def _all_failed(batch: HeldBatch, result: UpsertStreamResult) -> BatchFate:
    failures = [
        RecordFailure(index, record.id, error_from_item(result.error, sent_at="records", known_at="records"))
        for index, record in zip(batch.indexes, batch.request.batch.records, strict=True)
    ]
    return BatchFate(tuple(sorted([*failures, *batch.unsendable], key=lambda failure: failure.index)), ())
