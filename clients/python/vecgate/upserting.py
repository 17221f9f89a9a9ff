"""An upsert of any length, apart from the calls: records in, batches of messages out, one result at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from vecgate.batching import BatchBounds, batches
from vecgate.errors import InvalidArgumentError, VecgateError
from vecgate.records import Acknowledgement, Record, Truncation, WriteMode
from vecgate.results import ModelRef, RecordFailure, Timings, UpsertResult
from vecgate.v1 import record_pb2, write_pb2
from vecgate.wire.choices import ACKNOWLEDGEMENTS, TRUNCATIONS, WRITE_MODES, choose
from vecgate.wire.outcomes import error_from_item, model_ref_from, timings_from, timings_sum
from vecgate.wire.records import as_record, record_message

RecordLike: TypeAlias = Record | Mapping[str, object]
"""What may be upserted: a record, or a mapping with a record's keys."""

REPEATABLE_MODES = frozenset({"upsert", "update"})
"""Write modes in which a request done twice is the same as done once; "insert" would meet its own records."""


def upsert_request(
    collection: str,
    namespace: str,
    mode: WriteMode,
    acknowledgement: Acknowledgement,
    truncation: Truncation,
    vector_fingerprint: str | None,
) -> write_pb2.UpsertRequest:
    """Build the request of an upsert, still without records.

    Raises:
        InvalidArgumentError: a choice that there is not.
    """
    return write_pb2.UpsertRequest(
        collection=collection,
        namespace=namespace,
        mode=choose(WRITE_MODES, mode, "mode"),
        acknowledgement=choose(ACKNOWLEDGEMENTS, acknowledgement, "acknowledgement"),
        truncation=choose(TRUNCATIONS, truncation, "truncation"),
        vector_fingerprint=vector_fingerprint,
    )


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """A record to send, its place among the records handed in, and its bytes on the wire."""

    index: int
    message: record_pb2.Record
    size: int


def placed_record(index: int, item: RecordLike, bounds: BatchBounds) -> PlacedRecord | RecordFailure:
    """Translate a record, or tell why it cannot be sent.

    Raises:
        TypeError: it is neither a Record nor a mapping.
    """
    path = f"records[{index}]"
    try:
        message = record_message(as_record(item, path), path)
        size = message.ByteSize()
        if size > bounds.max_bytes:
            raise InvalidArgumentError.at(
                path,
                f"{size:,} bytes; the server takes {bounds.max_bytes:,} in one message",
                reason="LIMIT_EXCEEDED",
            )
    except InvalidArgumentError as error:
        return RecordFailure(index, _id_of(item), error)
    return PlacedRecord(index, message, size)


@dataclass(frozen=True, slots=True)
class BatchFate:
    """What became of the records of one batch, those that could not be sent included.

    Attributes:
        failures: the records that were not stored, in order. truncated: ids of the texts that were cut.
    """

    failures: tuple[RecordFailure, ...]
    truncated: tuple[str, ...]


class UpsertTally:
    """What became of the records so far.

    Failures come in the order of the records once the upsert is over. Unless `collecting`, failures and ids are counted and not
    kept, so that the tally of an endless upsert stays small.
    """

    def __init__(self, *, collecting: bool = True) -> None:
        self._collecting = collecting
        self._sent: list[PlacedRecord] = []
        self._failed = 0
        self._stored = 0
        self._failures: list[RecordFailure] = []
        self._truncated: list[str] = []
        self._tokens = 0
        self._reused = 0
        self._searchable = True
        self._consistency_token = ""
        self._model: ModelRef | None = None
        self._timings = Timings()

    def requests(
        self,
        frame: write_pb2.UpsertRequest,
        records: Iterable[RecordLike],
        bounds: BatchBounds,
    ) -> Iterator[write_pb2.UpsertRequest]:
        """Translate records, lazily, and yield the requests that carry them; add() is to follow each.

        What cannot be sent is noted as a failure of its own.

        Args:
            frame: a request without records; it is filled and yielded again and again.
            records: what to store.
            bounds: how large a request may get.

        Raises:
            TypeError: an item is neither a Record nor a mapping.
        """
        for batch in batches(self._sendable(records, bounds), lambda placed: placed.size, bounds):
            del frame.records[:]
            frame.records.extend(placed.message for placed in batch)
            self._sent = batch
            yield frame

    @contextmanager
    def told_by_errors(self) -> Iterator[None]:
        """Give an error that ends the upsert what was acknowledged before it."""
        try:
            yield
        except VecgateError as error:
            error.acknowledged = self.result()
            raise

    @property
    def stored(self) -> int:
        """Records stored so far."""
        return self._stored

    @property
    def reused(self) -> int:
        """Texts so far that were not encoded."""
        return self._reused

    def add(self, response: write_pb2.UpsertResponse) -> None:
        """Note the server's answer to the last request."""
        self.note_outcomes([placed.index for placed in self._sent], response.outcomes)
        self.note_write(searchable=response.searchable, consistency_token=response.consistency_token)
        if response.HasField("model"):
            self._model = model_ref_from(response.model)
        self._timings = timings_sum((self._timings, timings_from(response.timings)))

    def note_outcomes(
        self,
        indexes: Sequence[int],
        outcomes: Sequence[write_pb2.RecordOutcome],
        unsendable: Sequence[RecordFailure] = (),
    ) -> BatchFate:
        """Note what became of one batch.

        Args:
            indexes: the place of each record among the records handed in.
            outcomes: what the server says of each.
            unsendable: failures of records among them that could not be sent.
        """
        failures, truncated = list(unsendable), []
        for position, (index, outcome) in enumerate(zip(indexes, outcomes, strict=True)):
            if outcome.HasField("error"):
                error = error_from_item(outcome.error, sent_at=f"records[{position}]", known_at=f"records[{index}]")
                failures.append(RecordFailure(index, outcome.id, error))
                continue
            self._stored += 1
            self._tokens += outcome.encoded.tokens
            self._reused += outcome.encoded.reused
            if outcome.encoded.truncated:
                truncated.append(outcome.id)
        return self.note_fate(BatchFate(tuple(sorted(failures, key=_place)), tuple(truncated)))

    def note_fate(self, fate: BatchFate) -> BatchFate:
        """Note which records failed and which texts were cut; return it."""
        self._failed += len(fate.failures)
        if self._collecting:
            self._failures += fate.failures
            self._truncated += fate.truncated
        return fate

    def note_write(self, *, searchable: bool, consistency_token: str) -> None:
        """Note what is true of the records stored by one request."""
        self._searchable = self._searchable and searchable
        self._consistency_token = consistency_token or self._consistency_token

    def result(self) -> UpsertResult:
        """Sum up."""
        return UpsertResult(
            stored=self._stored,
            failures=tuple(sorted(self._failures, key=_place)),
            truncated=tuple(self._truncated),
            tokens=self._tokens,
            reused=self._reused,
            searchable=self._searchable,
            consistency_token=self._consistency_token,
            model=self._model,
            timings=self._timings,
            failed=self._failed,
        )

    def _sendable(self, records: Iterable[RecordLike], bounds: BatchBounds) -> Iterator[PlacedRecord]:
        for index, item in enumerate(records):
            placed = placed_record(index, item, bounds)
            if isinstance(placed, RecordFailure):
                self.note_fate(BatchFate((placed,), ()))
            else:
                yield placed


def _place(failure: RecordFailure) -> int:
    return failure.index


def _id_of(item: RecordLike) -> str:
    id_ = item.id if isinstance(item, Record) else item.get("id", "")
    return id_ if isinstance(id_, str) else repr(id_)
