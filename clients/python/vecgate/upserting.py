"""An upsert of any length, apart from the calls: records in, batches of messages out, one result at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from vecgate.batching import BatchBounds, batches
from vecgate.errors import InvalidArgumentError, VecgateError
from vecgate.records import Acknowledgement, Record, Truncation, WriteMode
from vecgate.results import ModelRef, RecordFailure, Timings, UpsertResult
from vecgate.v1 import record_pb2, write_pb2
from vecgate.wire.choices import ACKNOWLEDGEMENTS, TRUNCATIONS, WRITE_MODES, choose
from vecgate.wire.outcomes import error_from_item, model_ref_from, timings_from, timings_sum
from vecgate.wire.records import as_record, record_message

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
    """A record to send and its place among the records handed in."""

    index: int
    message: record_pb2.Record


class UpsertTally:
    """What became of the records so far. Failures come in the order of the records once the upsert is over."""

    def __init__(self) -> None:
        self._sent: list[PlacedRecord] = []
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
        records: Iterable[Record | Mapping[str, object]],
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
        for batch in batches(self._sendable(records, bounds), lambda placed: placed.message.ByteSize(), bounds):
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

    def add(self, response: write_pb2.UpsertResponse) -> None:
        """Note the server's answer to the last request."""
        for position, (placed, outcome) in enumerate(zip(self._sent, response.outcomes, strict=True)):
            if outcome.HasField("error"):
                error = error_from_item(
                    outcome.error, sent_at=f"records[{position}]", known_at=f"records[{placed.index}]"
                )
                self._failures.append(RecordFailure(placed.index, outcome.id, error))
                continue
            self._stored += 1
            self._tokens += outcome.encoded.tokens
            self._reused += outcome.encoded.reused
            if outcome.encoded.truncated:
                self._truncated.append(outcome.id)
        self._searchable = self._searchable and response.searchable
        self._consistency_token = response.consistency_token or self._consistency_token
        if response.HasField("model"):
            self._model = model_ref_from(response.model)
        self._timings = timings_sum((self._timings, timings_from(response.timings)))

    def result(self) -> UpsertResult:
        """Sum up."""
        return UpsertResult(
            stored=self._stored,
            failures=tuple(sorted(self._failures, key=lambda failure: failure.index)),
            truncated=tuple(self._truncated),
            tokens=self._tokens,
            reused=self._reused,
            searchable=self._searchable,
            consistency_token=self._consistency_token,
            model=self._model,
            timings=self._timings,
        )

    def _sendable(
        self, records: Iterable[Record | Mapping[str, object]], bounds: BatchBounds
    ) -> Iterator[PlacedRecord]:
        for index, item in enumerate(records):
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
                self._failures.append(RecordFailure(index, _id_of(item), error))
            else:
                yield PlacedRecord(index, message)


def _id_of(item: Record | Mapping[str, object]) -> str:
    id_ = item.id if isinstance(item, Record) else item.get("id", "")
    return id_ if isinstance(id_, str) else repr(id_)
