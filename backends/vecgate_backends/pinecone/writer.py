"""Writing into one index: in requests that fit, in an order that keeps read-modify-write whole, seen before it is called searchable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from vecgate_backends.errors import RecordExistsError, RecordNotFoundError, VecgateError
from vecgate_backends.pinecone.consistency import ConsistencyToken
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.record_codec import EncodedRecord, encode_record
from vecgate_backends.pinecone.shared_lock import SharedLock
from vecgate_backends.pinecone.upsert_requests import requests_of
from vecgate_backends.pinecone.vendor_errors import RecordTooLargeError
from vecgate_backends.pinecone.visibility import Visibility
from vecgate_backends.records import Metric, Record, RecordBatch, WriteMode

REQUESTS_AT_ONCE = 4
MODE_FAULTS: Mapping[WriteMode, tuple[bool, type[VecgateError], str]] = {
    WriteMode.INSERT: (True, RecordExistsError, "a record with id {!r} exists"),
    WriteMode.UPDATE: (False, RecordNotFoundError, "no record has id {!r}"),
}
"""Mode → whether it refuses an id that is there or one that is not, and how."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a run of records: the error of each that failed, by id, and the token of the others."""

    faults: Mapping[str, VecgateError]
    token: ConsistencyToken


def encode_batch(batch: RecordBatch, metric: Metric, write: int) -> list[EncodedRecord | VecgateError]:
    """Encode every record of a batch, or say what is wrong with it."""
    encoded: list[EncodedRecord | VecgateError] = []
    for row, record_id in enumerate(batch.ids):
        stamp = batch.encoding_stamp(row)
        record = Record(record_id, batch.texts[row], batch.metadata[row], batch.vectors[row], stamp)
        try:
            encoded.append(encode_record(record, metric=metric, write=write))
        except VecgateError as fault:
            encoded.append(fault)
    return encoded


def write_number() -> int:
    """Return a number for a write that no other has, not 0 and below 2^53."""
    return 1 + secrets.randbelow(2**53 - 1)


class Writer:
    """Writes into one collection. Namespaces and ids are Pinecone's."""

    def __init__(self, requests: IndexRequests, visibility: Visibility, identity: str) -> None:
        self._requests = requests
        self._visibility = visibility
        self._identity = identity
        self._locks: WeakValueDictionary[str, SharedLock] = WeakValueDictionary()
        self._unseen: dict[str, ConsistencyToken] = {}

    @asynccontextmanager
    async def beside_others(self, namespace: str) -> AsyncIterator[None]:
        """Write what depends on nothing that is stored."""
        async with self._lock(namespace).shared():
            yield

    @asynccontextmanager
    async def alone(self, namespace: str) -> AsyncIterator[None]:
        """Read and write with no other write of this process in between, and with its earlier ones in sight.

        Raises:
            BackendUnavailableError: they are not visible in time.
        """
        async with self._lock(namespace).alone():
            await self._visibility.require(self._unseen.get(namespace))
            self._unseen.pop(namespace, None)
            yield

    async def present(self, namespace: str, ids: Sequence[str]) -> set[str]:
        """Return which of these are stored."""
        return set(await self._requests.fetch(namespace, ids))

    async def store(self, namespace: str, records: Sequence[EncodedRecord]) -> Stored:
        """Send records with distinct ids; a request that fails takes its own records with it and no others.

        Raises:
            VecgateError: every request failed.
        """
        runs = list(requests_of(records))
        slots = asyncio.Semaphore(REQUESTS_AT_ONCE)

        async def send(run: Sequence[EncodedRecord]) -> list[tuple[Sequence[EncodedRecord], int | VecgateError]]:
            async with slots:
                return await self._send(namespace, run)

        outcomes = [outcome for sent in await asyncio.gather(*map(send, runs)) for outcome in sent]
        faults = {record.id: fault for run, fault in outcomes if isinstance(fault, VecgateError) for record in run}
        if records and len(faults) == len(records):
            raise next(iter(faults.values()))
        token = ConsistencyToken(self._identity, namespace)
        for run, lsn in outcomes:
            if isinstance(lsn, int) and (not token.witness or lsn > token.lsn):
                last = run[-1]
                token = ConsistencyToken(self._identity, namespace, lsn, last.id, last.metadata["write"])
        self._note(token)
        return Stored(faults, token)

    async def remove(self, namespace: str, ids: Sequence[str], *, everything: bool) -> ConsistencyToken:
        """Delete records, and wait until that is seen if it is in time; `everything`: there are no others."""
        if not ids:
            return ConsistencyToken(self._identity, namespace)
        await (self._requests.delete_all(namespace) if everything else self._requests.delete(namespace, ids))
        token = await self._visibility.gone(namespace, ids[-1])
        if not token.lsn:
            self._note(token)
        return token

    async def searchable(self, token: ConsistencyToken) -> bool:
        """Wait until a write is seen by every read; False if the time to wait passes."""
        reached = await self._visibility.reached(token)
        if reached and self._unseen.get(token.namespace) == token:
            del self._unseen[token.namespace]
        return reached

    async def _send(
        self, namespace: str, run: Sequence[EncodedRecord]
    ) -> list[tuple[Sequence[EncodedRecord], int | VecgateError]]:
        """Send one request, in halves if it is larger than Pinecone takes after all."""
        try:
            return [(run, await self._requests.upsert(namespace, run))]
        except RecordTooLargeError as fault:
            if len(run) == 1:
                return [(run, fault)]
            middle = len(run) // 2
            return await self._send(namespace, run[:middle]) + await self._send(namespace, run[middle:])
        except VecgateError as fault:
            return [(run, fault)]

    def _note(self, token: ConsistencyToken) -> None:
        known = self._unseen.get(token.namespace)
        if token.witness and (known is None or token.lsn == 0 or token.lsn >= known.lsn):
            self._unseen[token.namespace] = token

    def _lock(self, namespace: str) -> SharedLock:
        lock = self._locks.get(namespace)
        if lock is None:
            lock = self._locks[namespace] = SharedLock()
        return lock


def mode_fault(mode: WriteMode, record_id: str, present: bool) -> VecgateError | None:
    """Return why a mode refuses a record, None if it does not."""
    refused = MODE_FAULTS.get(mode)
    if refused is None or refused[0] is not present:
        return None
    return refused[1](refused[2].format(record_id))
