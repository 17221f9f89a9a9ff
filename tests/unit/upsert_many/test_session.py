"""Whatever windows, receipts, results, shutdowns and breaks come in whatever order: nothing is lost, doubled or out of order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vecgate import InternalError, InvalidArgumentError, Limits, Record, UnavailableError, UpsertProgress
from vecgate.upsert_stream.session import LINGER_SECONDS, UpsertSession
from vecgate.v1.ingest_pb2 import (
    UpsertStreamOpen,
    UpsertStreamReceipt,
    UpsertStreamRequest,
    UpsertStreamResponse,
    UpsertStreamResult,
    UpsertStreamShutdown,
    UpsertStreamWindow,
)
from vecgate.v1.outcome_pb2 import ItemError
from vecgate.v1.write_pb2 import RecordOutcome

LIMITS = Limits(
    max_message_bytes=20_000,
    max_batch=8,
    max_top_k=1,
    max_page_size=1,
    max_dimension=1,
    max_metadata_fields=1,
    max_metadata_bytes=1,
    max_text_bytes=1,
    max_filter_depth=1,
    max_filter_terms=1,
)
IDS = 5
UNSENDABLE_EVERY = 7
REFUSED_EVERY = 11
GONE = UnavailableError("gone")
LARGEST_RECORD = 400


@dataclass
class Line:
    """A stream as the server sees it."""

    inbox: deque[UpsertStreamRequest] = field(default_factory=deque)
    answers: deque[UpsertStreamResponse] = field(default_factory=deque)
    unanswered: deque[UpsertStreamRequest] = field(default_factory=deque)
    window: UpsertStreamWindow | None = None
    sequence: int = 0
    begun: bool = False
    opened: bool = False
    complete: bool = False


def text(index: int) -> str:
    return f"{index} ".ljust(5 + (index * 37) % (LARGEST_RECORD - 60), ".")


def item(index: int) -> Record | dict[str, object]:
    """Return a record whose text tells its place; many share an id, and some cannot be sent."""
    if index % UNSENDABLE_EVERY == 0:
        return {"id": "unsendable", "text": index}
    return Record(f"id-{index % IDS}" if index % REFUSED_EVERY else "refused", text(index))


class UpsertSessionMachine(RuleBasedStateMachine):
    """A session, the network and a server that keeps the contract, each moving by itself."""

    @initialize(size=st.none() | st.integers(1, LIMITS.max_batch))
    def begin(self, size: int | None) -> None:
        self.now = 0.0
        self.told: list[UpsertProgress] = []
        self.session = UpsertSession(
            UpsertStreamOpen(collection="docs"), batch_size=size, on_progress=self.told.append, clock=lambda: self.now
        )
        self.taken = 0
        self.source_ended = False
        self.stored: dict[str, str] = {}
        self.largest = (0, 0)
        self.open_stream()

    def open_stream(self, *, slowly: bool = False) -> None:
        """Begin a stream; unless it goes slowly, up to the point where batches may go out."""
        self.line = Line()
        self.session.begin_stream(LIMITS)
        if not slowly:
            self.send()
            self.apply()
            self.answer_window(24, 4_000)
            self.deliver()

    @precondition(lambda self: self.session.wants_records)
    @rule(count=st.integers(1, 30), seconds=st.sampled_from([0.0, 0.0, 0.0, LINGER_SECONDS]))
    def read_records(self, count: int, seconds: float) -> None:
        for _ in range(count):
            self.now += seconds
            self.session.add(item(self.taken))
            self.taken += 1
            self.send()
            if not self.session.wants_records:
                return

    @precondition(lambda self: self.session.wants_records and self.taken > 60)
    @rule()
    def end_source(self) -> None:
        self.session.end_source()
        self.source_ended = True

    @rule()
    def send(self) -> None:
        for request in self.session.messages():
            assert not self.line.complete
            kind = request.WhichOneof("message")
            assert (kind == "open") == (not self.line.begun)
            self.line.begun = True
            if kind == "batch":
                self.check_window(request)
                self.line.sequence += 1
                assert request.batch.sequence == self.line.sequence
            self.line.complete = kind == "close"
            self.line.inbox.append(UpsertStreamRequest.FromString(request.SerializeToString()))

    def check_window(self, request: UpsertStreamRequest) -> None:
        assert self.line.window is not None
        assert 1 <= len(request.batch.records) <= LIMITS.max_batch
        assert request.ByteSize() <= LIMITS.max_message_bytes
        self.line.unanswered.append(request)
        records = sum(len(each.batch.records) for each in self.line.unanswered)
        size = sum(each.batch.ByteSize() for each in self.line.unanswered)
        within = records <= self.line.window.records and size <= self.line.window.bytes
        assert within or len(self.line.unanswered) == 1

    @precondition(lambda self: self.line.opened)
    @rule(records=st.integers(1, 40), size=st.integers(1, 6_000))
    def answer_window(self, records: int, size: int) -> None:
        self.line.answers.append(UpsertStreamResponse(window=UpsertStreamWindow(records=records, bytes=size)))

    @precondition(lambda self: self.line.inbox)
    @rule()
    def apply(self) -> None:
        request = self.line.inbox.popleft()
        self.line.opened = True
        if request.WhichOneof("message") != "batch":
            return
        outcomes = []
        for record in request.batch.records:
            outcome = RecordOutcome(id=record.id)
            if record.id == "refused":
                outcome.error.CopyFrom(ItemError(code=3, reason="BAD", message="bad"))
            else:
                self.stored[record.id] = record.text
            outcomes.append(outcome)
        result = UpsertStreamResult(sequence=request.batch.sequence, outcomes=outcomes, searchable=True)
        self.line.answers.append(UpsertStreamResponse(result=result))

    @precondition(lambda self: self.line.sequence)
    @rule()
    def answer_receipt(self) -> None:
        self.line.answers.append(UpsertStreamResponse(receipt=UpsertStreamReceipt(sequence=self.line.sequence)))

    @precondition(lambda self: self.line.opened)
    @rule()
    def announce_end(self) -> None:
        self.line.answers.append(UpsertStreamResponse(shutdown=UpsertStreamShutdown()))

    @precondition(lambda self: self.line.answers)
    @rule()
    def deliver(self) -> None:
        response = self.line.answers.popleft()
        if response.HasField("window"):
            self.line.window = response.window
            self.largest = (
                max(self.largest[0], response.window.records),
                max(self.largest[1], response.window.bytes),
            )
        if response.HasField("result"):
            self.line.unanswered.popleft()
        self.session.receive(response)

    @precondition(lambda self: self.line.sequence != 1)
    @rule(slowly=st.booleans())
    def lose_connection(self, slowly: bool) -> None:
        if self.session.end_stream(GONE) is not None:
            self.open_stream(slowly=slowly)

    @invariant()
    def held_is_within_the_window_or_one_batch(self) -> None:
        records, size = self.session.held
        assert records <= max(self.largest[0], LIMITS.max_batch)
        assert size <= max(self.largest[1], LIMITS.max_message_bytes) + LARGEST_RECORD

    @invariant()
    def what_is_finished_is_a_prefix_whose_fate_was_told_once(self) -> None:
        finished = [progress.finished for progress in self.told]
        assert finished == sorted(set(finished))
        done = finished[-1] if finished else 0
        assert [failure.index for progress in self.told for failure in progress.failures] == bad_places(done)
        assert not self.told or self.told[-1].stored == done - len(bad_places(done))

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        for _ in range(1_000):
            if self.session.settled:
                break
            self.step_to_the_end()
        assert self.session.settled
        self.what_is_finished_is_a_prefix_whose_fate_was_told_once()
        assert (self.told[-1].finished if self.told else 0) == self.taken
        assert self.stored == last_texts(self.taken)
        assert self.session.end_stream(None) is None
        assert (self.session.result().failed, self.session.result().failures) == (len(bad_places(self.taken)), ())

    def step_to_the_end(self) -> None:
        """Let everything go its way from here, on another stream if this one is going away."""
        if self.session.handed_over:
            self.lose_connection(slowly=False)
        if self.session.wants_records:
            self.end_source()
        self.send()
        self.send()  # must not say anything twice
        while self.line.inbox:
            self.apply()
        if not self.line.window and not self.line.answers:
            self.answer_window(20, 3_000)
        while self.line.answers:
            self.deliver()


def bad_places(end: int) -> list[int]:
    return [index for index in range(end) if index % UNSENDABLE_EVERY == 0 or index % REFUSED_EVERY == 0]


def last_texts(end: int) -> dict[str, str]:
    bad = set(bad_places(end))
    return {f"id-{index % IDS}": text(index) for index in range(end) if index not in bad}


TestUpsertSession = UpsertSessionMachine.TestCase
TestUpsertSession.settings = settings(max_examples=150, stateful_step_count=80, deadline=None)


def opened(**options: object) -> UpsertSession:
    session = UpsertSession(UpsertStreamOpen(collection="docs"), **options)  # type: ignore[arg-type]  # as given
    session.begin_stream(LIMITS)
    list(session.messages())
    session.receive(UpsertStreamResponse(window=UpsertStreamWindow(records=16, bytes=10_000)))
    return session


def result(sequence: int, ids: list[str]) -> UpsertStreamResponse:
    outcomes = [RecordOutcome(id=id_) for id_ in ids]
    return UpsertStreamResponse(result=UpsertStreamResult(sequence=sequence, outcomes=outcomes))


def test_no_record_is_read_before_the_server_has_said_how_many_it_takes() -> None:
    session = UpsertSession(UpsertStreamOpen(collection="docs"))
    session.begin_stream(LIMITS)
    assert not session.wants_records


def test_several_batches_fit_into_a_window() -> None:
    session = opened()
    while session.wants_records:
        session.add(Record("a", "x"))
        for message in session.messages():
            assert len(message.batch.records) == 4
    records, size = session.held
    assert records == 16
    assert 16 * len("ax") < size < 16 * 20


def test_a_batch_size_that_was_chosen_stands_whatever_the_window() -> None:
    session = opened(batch_size=8)
    for _ in range(8):
        session.add(Record("a", "x"))
    assert [len(message.batch.records) for message in session.messages()] == [8]


def test_a_batch_size_beyond_the_servers_limit_is_refused() -> None:
    session = UpsertSession(UpsertStreamOpen(collection="docs"), batch_size=9)
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        session.begin_stream(LIMITS)


def test_a_batch_that_waits_for_its_next_record_goes_out_after_a_while() -> None:
    now = 0.0
    session = opened(clock=lambda: now)
    session.add(Record("a", "x"))
    assert list(session.messages()) == []
    assert session.cut_if_late() == pytest.approx(LINGER_SECONDS)
    now = LINGER_SECONDS
    session.cut_if_late()
    assert [len(message.batch.records) for message in session.messages()] == [1]


def test_a_batch_that_was_refused_as_a_whole_fails_each_of_its_records() -> None:
    session = opened(batch_size=2)
    for id_ in ("a", "b"):
        session.add(Record(id_, "x"))
    list(session.messages())
    error = ItemError(code=3, reason="LIMIT_EXCEEDED", message="records: too many")
    session.receive(UpsertStreamResponse(result=UpsertStreamResult(sequence=1, error=error)))
    failures = session.result().failures
    assert [(failure.index, failure.id, failure.error.reason) for failure in failures] == [
        (0, "a", "LIMIT_EXCEEDED"),
        (1, "b", "LIMIT_EXCEEDED"),
    ]


@pytest.mark.parametrize(("sequence", "ids"), [(2, ["a"]), (1, []), (1, ["a", "b"])])
def test_an_answer_to_something_else_is_an_error_of_the_server(sequence: int, ids: list[str]) -> None:
    session = opened(batch_size=1)
    session.add(Record("a", "x"))
    list(session.messages())
    with pytest.raises(InternalError) as raised:
        session.receive(result(sequence, ids))
    assert raised.value.acknowledged is not None
    assert raised.value.acknowledged.stored == 0


def test_a_receipt_is_progress_only_for_records_that_never_got_as_far() -> None:
    session = opened(batch_size=1)
    received = UpsertStreamResponse(receipt=UpsertStreamReceipt(sequence=1))
    session.add(Record("a", "x"))
    list(session.messages())
    assert session.receive(received)
    assert not session.receive(received)
    session.end_stream(GONE)
    session.begin_stream(LIMITS)
    session.receive(UpsertStreamResponse(window=UpsertStreamWindow(records=16, bytes=10_000)))
    assert len(list(session.messages())) == 2
    assert not session.receive(received)


def test_after_a_break_the_first_batch_goes_alone() -> None:
    session = opened(batch_size=2)
    for number in range(8):
        session.add(Record(str(number), "x"))
    assert len(list(session.messages())) == 4
    session.end_stream(GONE)
    session.begin_stream(LIMITS)
    session.receive(UpsertStreamResponse(window=UpsertStreamWindow(records=16, bytes=10_000)))
    assert [message.batch.sequence for message in session.messages()] == [0, 1]
    session.receive(result(1, ["0", "1"]))
    assert [message.batch.sequence for message in session.messages()] == [2, 3, 4]


def test_a_message_of_a_later_version_is_passed_over() -> None:
    assert not opened().receive(UpsertStreamResponse())


def test_a_stream_that_ends_well_before_its_time_is_an_error() -> None:
    session = opened()
    assert isinstance(session.end_stream(None), InternalError)
