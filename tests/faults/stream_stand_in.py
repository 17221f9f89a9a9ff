"""A server of UpsertStream that keeps the contract to the letter, objects to clients that do not, and breaks where it is told to.

Real servers cannot be made to break between two given messages; this one stores texts in a dictionary.
"""

# ruff: noqa: N802, ARG002  # the methods are named as their RPCs and take what gRPC gives them

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from vecgate.v1 import ingest_pb2, outcome_pb2, read_pb2, server_info_pb2, write_pb2
from vecgate.v1.service_pb2_grpc import VectorSearchServiceServicer, add_VectorSearchServiceServicer_to_server

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import _MaybeAsyncIterator

MAX_BATCH = 50
WINDOW_RECORDS = 40
WINDOW_BYTES = 8_000
THREADS = 8

Point = Literal["opened", "window", "arrived", "applied", "answered", "close"]
"""Where a stream may break: the open came; the window went out; a batch came, was applied, was answered; the close came."""


def refusal(code: grpc.StatusCode, reason: str, *, retry_after: float | None = None) -> grpc.Status:
    """Return a status with details as the server gives it; without a reason, as a proxy does."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="vecgate")] if reason else []
    if retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=round(retry_after * 1e9))))
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message="as told", details=packed))


GONE = refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
SHUTTING_DOWN = refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


@dataclass(frozen=True)
class Fault:
    """How a stream ends before its time: at a point, of the batch with this sequence, with this status.

    `from_server`: the answer carries a request id, so that it is known to come from the server and not from the way to it.
    """

    point: Point
    sequence: int = 1
    status: grpc.Status = GONE
    from_server: bool = True


@dataclass(frozen=True)
class Drain:
    """A stream that announces the end of the server once the batch with this sequence has come, and answers what has come."""

    sequence: int = 2


@dataclass
class StandIn(VectorSearchServiceServicer):
    """The service, and what it saw. `faults` are taken one a stream; `held` keeps back all results while it is cleared."""

    faults: list[Fault | Drain] = field(default_factory=list)
    window: ingest_pb2.UpsertStreamWindow = field(
        default_factory=lambda: ingest_pb2.UpsertStreamWindow(records=WINDOW_RECORDS, bytes=WINDOW_BYTES)
    )
    texts: dict[str, str] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    opens: list[ingest_pb2.UpsertStreamOpen] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    answering: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answering.set()

    def GetServerInfo(
        self, request: server_info_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> server_info_pb2.GetServerInfoResponse:
        limits = server_info_pb2.Limits(max_batch=MAX_BATCH, max_message_bytes=50_000)
        return server_info_pb2.GetServerInfoResponse(limits=limits)

    def Count(self, request: read_pb2.CountRequest, context: grpc.ServicerContext) -> read_pb2.CountResponse:
        return read_pb2.CountResponse(count=len(self.texts))

    def UpsertStream(
        self,
        request_iterator: _MaybeAsyncIterator[ingest_pb2.UpsertStreamRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[ingest_pb2.UpsertStreamResponse]:
        context.set_trailing_metadata((("x-request-id", f"stream-{len(self.opens)}"),))
        fault = self.faults.pop(0) if self.faults else None
        yield from StandInStream(self, request_iterator, context, fault).answers()


class StandInStream:
    """One stream of the stand-in."""

    def __init__(
        self,
        service: StandIn,
        requests: Iterator[ingest_pb2.UpsertStreamRequest],
        context: grpc.ServicerContext,
        fault: Fault | Drain | None,
    ) -> None:
        self._service = service
        self._context = context
        self._fault = fault
        self._inbox: queue.Queue[ingest_pb2.UpsertStreamRequest | None] = queue.Queue()
        self._arrived = self._answered = 0
        self._unanswered: dict[int, tuple[int, int]] = {}
        self._complete = False
        context.add_callback(self._end)
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()

    def answers(self) -> Iterator[ingest_pb2.UpsertStreamResponse]:
        """Answer as the contract has it, up to the fault."""
        if not self._opened():
            return
        self._break_at("opened", 1)
        yield ingest_pb2.UpsertStreamResponse(window=self._service.window)
        self._break_at("window", 1)
        while (request := self._inbox.get()) is not None and not request.HasField("close"):
            sequence = request.batch.sequence
            yield ingest_pb2.UpsertStreamResponse(receipt=ingest_pb2.UpsertStreamReceipt(sequence=self._arrived))
            self._break_at("arrived", sequence)
            draining = isinstance(self._fault, Drain) and sequence == self._fault.sequence
            if draining:
                yield ingest_pb2.UpsertStreamResponse(shutdown=ingest_pb2.UpsertStreamShutdown())
            result = self._apply(request.batch)
            self._break_at("applied", sequence)
            while not self._service.answering.wait(0.05):
                if not self._context.is_active():
                    return
            del self._unanswered[sequence]
            yield ingest_pb2.UpsertStreamResponse(result=result)
            self._break_at("answered", sequence)
            if draining:
                self._refuse(SHUTTING_DOWN)
        self._break_at("close", 1)

    def _opened(self) -> bool:
        first = self._inbox.get()
        if first is None:
            return False
        if not first.HasField("open"):
            self._service.complaints.append("a stream begins with open")
        self._service.opens.append(first.open)
        return True

    def _read(self, requests: Iterator[ingest_pb2.UpsertStreamRequest]) -> None:
        """Check what comes against the contract, as it comes."""
        try:
            for request in requests:
                self._check(request)
                self._inbox.put(request)
        except grpc.RpcError:
            pass
        self._inbox.put(None)

    def _check(self, request: ingest_pb2.UpsertStreamRequest) -> None:
        complain = self._service.complaints.append
        if self._complete:
            complain("something came after close")
        kind = request.WhichOneof("message")
        self._complete = kind == "close"
        if kind == "batch":
            self._arrived += 1
            if request.batch.sequence != self._arrived:
                complain(f"batch {request.batch.sequence} came as number {self._arrived}")
            if not 1 <= len(request.batch.records) <= MAX_BATCH:
                complain(f"a batch of {len(request.batch.records)} records")
            self._service.batches.append(len(request.batch.records))
            self._unanswered[request.batch.sequence] = (len(request.batch.records), request.batch.ByteSize())
            under_way = list(self._unanswered.values())
            records, size = (sum(column) for column in zip(*under_way, strict=True))
            window = self._service.window
            if len(under_way) > 1 and (records > window.records or size > window.bytes):
                complain(f"{records} records and {size} bytes under way")

    def _apply(self, batch: ingest_pb2.UpsertStreamBatch) -> ingest_pb2.UpsertStreamResult:
        result = ingest_pb2.UpsertStreamResult(sequence=batch.sequence, searchable=True)
        result.consistency_token = f"token-{len(self._service.applied)}"
        for position, record in enumerate(batch.records):
            outcome = write_pb2.RecordOutcome(id=record.id)
            if record.id.startswith("bad"):
                error = outcome_pb2.ItemError(code=3, reason="BAD_TEXT", message=f"records[{position}].text: bad")
                outcome.error.CopyFrom(error)
            else:
                outcome.encoded.tokens = len(record.text)
                outcome.encoded.truncated = record.id.startswith("long")
                outcome.encoded.reused = self._service.texts.get(record.id) == record.text
                self._service.texts[record.id] = record.text
                self._service.applied.append(record.id)
            result.outcomes.append(outcome)
        return result

    def _break_at(self, point: Point, sequence: int) -> None:
        fault = self._fault
        if isinstance(fault, Fault) and (fault.point, fault.sequence) == (point, sequence):
            if not fault.from_server:
                self._context.set_trailing_metadata(())
            self._refuse(fault.status, from_server=fault.from_server)

    def _refuse(self, status: grpc.Status, *, from_server: bool = True) -> NoReturn:
        request_id = (("x-request-id", "stream"),) if from_server else ()
        self._context.set_trailing_metadata((*request_id, *(status.trailing_metadata or ())))
        self._context.abort(status.code, status.details)
        raise AssertionError  # abort raises

    def _end(self) -> None:
        if not self._complete:
            self._service.cancelled.set()


def stand_in(faults: Sequence[Fault | Drain] = ()) -> StandIn:
    """Return a stand-in whose streams end so, one after the other."""
    return StandIn(list(faults))  # type: ignore[abstract]  # the other calls are not made


@contextmanager
def serving(service: StandIn, port: int = 0) -> Iterator[int]:
    """Serve on a port of the loopback interface for the length of a with-block."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=(("grpc.so_reuseport", 0),))
    add_VectorSearchServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield bound
    finally:
        service.answering.set()
        server.stop(grace=None).wait()


def expected_texts(records: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what is stored after records went in, in order."""
    return {id_: text for id_, text in records if not id_.startswith("bad")}
