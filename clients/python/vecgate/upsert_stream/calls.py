"""A stream of the blocking client, and the reading of records beside it, on the caller's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Generic, Self, TypeAlias, TypeVar

import grpc

from vecgate.errors import VecgateError
from vecgate.upsert_stream.arrivals import MOST_ARRIVALS, Arrival, Ended
from vecgate.upsert_stream.session import UpsertSession
from vecgate.upserting import RecordLike

Request = TypeVar("Request")
Response = TypeVar("Response")

Records: TypeAlias = Iterable[RecordLike]
"""The caller's records, read one by one."""


class StreamCall(Generic[Request, Response]):
    """A call in which both sides send as they like; for a with-block, which ends it.

    gRPC's thread takes what is to be sent, a thread of its own takes what comes; both end with the block. Only the caller's
    thread runs the caller's code, and waits so that a signal can interrupt it.
    """

    def __init__(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        metadata: Sequence[tuple[str, str]],
        error_from: Callable[[grpc.RpcError], VecgateError],
    ) -> None:
        self._error_from = error_from
        self._condition = threading.Condition()
        self._outbox: deque[Request] = deque()
        self._arrivals: deque[Arrival[Response]] = deque()
        self._closed = False
        self._writer: threading.Thread | None = None
        self._call = method(self._requests(), metadata=tuple(metadata))
        self._reader = threading.Thread(target=self._read, name="vecgate stream", daemon=True)

    @property
    def waiting(self) -> bool:
        """Whether receive() would return at once."""
        return bool(self._arrivals)

    def send(self, messages: Iterable[Request]) -> None:
        """Hand over messages; they go out in order, as fast as the server reads them."""
        for message in messages:
            with self._condition:
                self._outbox.append(message)
                self._condition.notify_all()

    def receive(self, seconds: float) -> Arrival[Response] | None:
        """Return what comes next, or None if nothing does within these seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._arrivals, seconds)
            arrival = self._arrivals.popleft() if self._arrivals else None
            self._condition.notify_all()
            return arrival

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call.cancel()
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._reader.join()
        if self._writer is not None:
            self._writer.join()

    def _requests(self) -> Iterator[Request]:
        """Yield what is to be sent; runs on a thread of gRPC's."""
        self._writer = threading.current_thread()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._outbox or self._closed)
                if self._closed:
                    return
                message = self._outbox.popleft()
            yield message

    def _read(self) -> None:
        try:
            for response in self._call:
                self._arrive(response)
        except grpc.RpcError as failure:
            error = self._error_from(failure)
            error.__cause__ = failure
            self._arrive(Ended(error))
        else:
            self._arrive(Ended(None))

    def _arrive(self, arrival: Arrival[Response]) -> None:
        """Keep what came; with much unread, the server is read no further."""
        with self._condition:
            self._condition.wait_for(lambda: len(self._arrivals) < MOST_ARRIVALS or self._closed)
            self._arrivals.append(arrival)
            self._condition.notify_all()


class RecordFeed:
    """The caller's records, read one by one; for a with-block."""

    def __init__(self, records: Records, session: UpsertSession) -> None:
        self._records = iter(records)
        self._session = session

    def fill(self, call: StreamCall[Request, Response], seconds: float) -> None:  # noqa: ARG002  # nothing ends the caller's code
        """Read records until the session wants no more or an answer waits."""
        for item in self._records:
            self._session.add(item)
            if not self._session.wants_records or call.waiting:
                return
        self._session.end_source()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass
