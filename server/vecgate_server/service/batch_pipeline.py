"""The batches of a stream on their way in: checked and encoded side by side, written one after the other in their order.

While a write is under way, the batches behind it become ready; the next write takes them all at once, and each gets its own part of what
came of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from time import monotonic

from vecgate.v1.ingest_pb2 import UpsertStreamBatch, UpsertStreamResult
from vecgate_backends.errors import InvalidArgumentError, UnavailableError, VecgateError
from vecgate_server.call_clock import call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.encoders.base import Models
from vecgate_server.service.encoder_patience import patiently
from vecgate_server.service.stream_window import Amount, StreamWindow
from vecgate_server.service.text_vectors import TextVectors
from vecgate_server.service.upsert_batch import UpsertBatch, UpsertTarget, write_batches
from vecgate_server.status import item_error
from vecgate_server.validate import argument_rules

MERGED_RECORDS = 4_096
"""Records of one write at most, unless one batch alone has more: what the Faiss backend commits at once."""


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """The result of a batch, and what it takes of the window until it is sent."""

    result: UpsertStreamResult
    amount: Amount


@dataclass(frozen=True, slots=True, eq=False)
class _Underway:
    """A batch that was read; `preparing` ends with it ready to be written, or with why it was refused as a whole."""

    sequence: int
    amount: Amount
    arrived: float
    preparing: asyncio.Task[UpsertBatch | InvalidArgumentError]

    @property
    def failed(self) -> bool:
        return self.preparing.exception() is not None


class BatchPipeline:
    """Takes the batches of one stream and gives their results, in order."""

    def __init__(
        self,
        target: UpsertTarget,
        models: Models,
        limits: LimitSettings,
        window: StreamWindow,
        news: asyncio.Event,
    ) -> None:
        """Begin empty.

        Args:
            target: where the records go.
            models: encode texts.
            limits: of records and batches.
            window: told what is under way.
            news: set when there are results.
        """
        self._target = target
        self._models = models
        self._limits = limits
        self._window = window
        self._queue: deque[_Underway] = deque()
        self._news = news
        self._came = asyncio.Event()
        self.finished: deque[FinishedBatch] = deque()
        """Results in order of sequence, for others to take."""
        self.closed = False
        """Whether close() was called."""
        self._fault: Exception | None = None

    def put(self, batch: UpsertStreamBatch) -> None:
        """Take the next batch and begin to prepare it."""
        # One without records takes memory too.
        amount = Amount(max(1, len(batch.records)), batch.ByteSize())
        self._window.take(amount)
        arrived = monotonic()
        preparing = asyncio.create_task(self._prepare(batch, arrived))
        self._queue.append(_Underway(batch.sequence, amount, arrived, preparing))
        self._came.set()

    def close(self, fault: Exception | None = None) -> None:
        """Take no more batches; run() then ends after those that came, with the fault if there is one."""
        self.closed = True
        self._fault = fault
        self._came.set()

    async def run(self) -> None:
        """Write the batches until all are through after close().

        Raises:
            VecgateError: a batch could not be encoded or written. Neither it nor one after it was applied; unless the store writes in
                parts and failed on the way, which leaves some of their records stored.
            Exception: the fault that close() was told.
        """
        while await self._has_head():
            await self._write(self._ready())
        if self._fault is not None:
            raise self._fault

    async def drop(self) -> None:
        """Give up what was not written yet."""
        preparing = [underway.preparing for underway in self._queue]
        self._queue.clear()
        for each in preparing:
            each.cancel()
        await asyncio.gather(*preparing, return_exceptions=True)

    async def _prepare(self, batch: UpsertStreamBatch, arrived: float) -> UpsertBatch | InvalidArgumentError:
        try:
            argument_rules.batch(batch.records, "records", self._limits.max_batch)
        except InvalidArgumentError as fault:
            return fault
        prepared = UpsertBatch(batch.records, self._target, self._limits)
        await prepared.check()
        ask = partial(patiently, refused=partial(self._window.refuse, arrived))
        await TextVectors(self._models, self._target, call_clock(), ask).fill(prepared)
        prepared.gather()  # while another batch is written
        return prepared

    async def _has_head(self) -> bool:
        """Wait until the first batch is prepared, or failed; False if there is none and none comes."""
        while not self._queue:
            if self.closed:
                return False
            self._came.clear()
            await self._came.wait()
        await asyncio.wait({self._queue[0].preparing})
        return True

    def _ready(self) -> list[_Underway]:
        """Take the first batch, and those behind it that are prepared too, as far as they go into one write."""
        ready = [self._queue.popleft()]
        records = ready[0].amount.records
        while self._queue and self._queue[0].preparing.done() and not self._queue[0].failed:
            records += self._queue[0].amount.records
            if records > MERGED_RECORDS:
                break
            ready.append(self._queue.popleft())
        return ready

    async def _write(self, ready: list[_Underway]) -> None:
        prepared = [underway.preparing.result() for underway in ready]
        batches = [each for each in prepared if isinstance(each, UpsertBatch)]
        try:
            await write_batches(batches, self._target)
        except UnavailableError:
            raise
        except VecgateError:
            if len(ready) == 1:
                raise
            # One by one it shows which of them it was; those before it are stored.
            for underway in ready:
                await self._write([underway])
            return
        self._news.set()
        for underway, each in zip(ready, prepared, strict=True):
            # A store that writes in parts may fail on the way: what it did not take is to be sent again, not given up by its sender.
            if isinstance(each, UpsertBatch) and each.store_fault is not None:
                raise each.store_fault
            self._window.pass_through(underway.arrived)
            self.finished.append(FinishedBatch(_result(underway.sequence, each), underway.amount))


def _result(sequence: int, prepared: UpsertBatch | InvalidArgumentError) -> UpsertStreamResult:
    if isinstance(prepared, InvalidArgumentError):
        return UpsertStreamResult(sequence=sequence, error=item_error(prepared))
    return UpsertStreamResult(
        sequence=sequence,
        outcomes=prepared.outcomes,
        searchable=prepared.searchable,
        consistency_token=prepared.consistency_token,
    )
