"""Upserting any number of records over a stream."""

# ruff: noqa: ASYNC109  # a timeout is how long the server may be silent, it is no cancellation here

from __future__ import annotations

from collections.abc import Callable

from vecgate.aio.connection import AsyncConnected
from vecgate.channel import check_timeout
from vecgate.errors import DeadlineExceededError, UnavailableError, VecgateError
from vecgate.records import Acknowledgement, Truncation, WriteMode
from vecgate.results import UpsertProgress, UpsertResult
from vecgate.upsert_stream.arrivals import Ended
from vecgate.upsert_stream.async_calls import AsyncRecordFeed, AsyncRecords
from vecgate.upsert_stream.resuming import Patience, Resuming
from vecgate.upsert_stream.session import UpsertSession, stream_open
from vecgate.upserting import REPEATABLE_MODES, upsert_request

FAREWELL_SECONDS = 5.0
"""How long the end of a stream is waited for once every record has its result: nothing depends on it any more."""


class AsyncIngesting(AsyncConnected):
    """The client's method that streams.

    >>> records = (Record(f"owl-{number}", "The owl slept.") for number in range(3))
    >>> (await client.upsert_many("docs", records)).stored
    3
    """

    async def upsert_many(
        self,
        collection: str,
        records: AsyncRecords,
        *,
        namespace: str = "",
        mode: WriteMode = "upsert",
        acknowledgement: Acknowledgement = "searchable",
        truncation: Truncation = "error",
        vector_fingerprint: str | None = None,
        batch_size: int | None = None,
        on_progress: Callable[[UpsertProgress], None] | None = None,
        timeout: float | None = None,
    ) -> UpsertResult:
        """Store any number of records over one stream, several batches under way. A bad record fails alone: see `failures`.

        Records are read lazily, no further ahead than the server's window; they may be endless. What has no result when the connection breaks
        or the server stops is sent again, to any server of the target; inserts cannot be, and end with the error.

        Args:
            collection: the collection.
            records: Record objects, or mappings with the keys id, text, vector, metadata.
            namespace: a partition of the collection; 0 to 64 printable ASCII characters.
            mode: "upsert" stores or replaces, "insert" fails records that exist, "update" those that do not.
            acknowledgement: what is true of records that are finished: "durable", or "searchable" as well.
            truncation: of text longer than the model reads: "error" (the record fails) or "truncate" (told in the result).
            vector_fingerprint: what made the vectors in `records`; checked against the collection's model.
            batch_size: records of one batch, at most the server's max_batch; None: chosen by the server's window.
            on_progress: called after each batch, and given the failures and the ids of cut texts, which the result then only counts.
            timeout: seconds that the server may be silent or away, nothing getting through; None: Deadlines.bulk.

        Raises:
            TypeError: an item of `records` is neither a Record nor a mapping, or `on_progress` no function.
            VecgateError: it did not get to the end; `acknowledged` tells what became of the records before.
        """
        seconds = check_timeout(self._connection.deadlines.bulk if timeout is None else timeout)
        frame = upsert_request(collection, namespace, mode, acknowledgement, truncation, vector_fingerprint)
        session = UpsertSession(stream_open(frame), batch_size=batch_size, on_progress=on_progress)
        return await self._upsert(session, records, Patience(seconds), Resuming(repeatable=mode in REPEATABLE_MODES))

    async def _upsert(
        self, session: UpsertSession, records: AsyncRecords, patience: Patience, resuming: Resuming
    ) -> UpsertResult:
        """Upsert over one stream after the other until everything has a result, or the error is final."""
        async with AsyncRecordFeed(records, session) as feed:
            while (error := await self._stream(session, feed, patience, resuming)) is not None:
                pause = resuming.pause(error, unsettled=session.unsettled, remaining=patience.remaining())
                if pause is None:
                    error.acknowledged = session.result()
                    raise error
                await self._connection.pause(pause)
        return session.result()

    async def _stream(
        self, session: UpsertSession, feed: AsyncRecordFeed, patience: Patience, resuming: Resuming
    ) -> VecgateError | None:
        """Upsert over one stream until it ends; return why another is needed, or None."""
        patience.expect(something=True)
        try:
            session.begin_stream(await self._connection.limits())
        except VecgateError as error:
            return error
        async with self._connection.stream(self._connection.stub.UpsertStream) as call:
            while True:
                call.send(session.messages())
                if session.handed_over:
                    return session.end_stream(UnavailableError("the server goes away"))
                patience.expect(something=session.expects_answer)
                if session.wants_records and not call.waiting and patience.remaining():
                    await feed.fill(call, patience.remaining())
                    continue
                arrival = await call.receive(FAREWELL_SECONDS if session.settled else patience.remaining())
                if isinstance(arrival, Ended):
                    return session.end_stream(arrival.error)
                if arrival is None:
                    return session.end_stream(silence(patience.seconds))
                if session.receive(arrival):
                    patience.renew()
                    resuming.renew()


def silence(seconds: float) -> VecgateError:
    """Build the error of a server that is there and does nothing."""
    return DeadlineExceededError(f"nothing got through for {seconds:g} seconds")
