"""The writer of a collection: one thread that commits queued operations in groups, one sync a group.

What readers see moves in step with memory. The reader is pinned to the commit that memory holds; a group is committed only after the
group before it was applied; and applying, on the event loop, changes memory and pins the reader anew in one step. So a search, and the
read of what it found, see the same state, and no lock is needed.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Generic, Literal, TypeVar

from vecgate_backends.distribution import Distribution
from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.faiss.changes import Change
from vecgate_backends.faiss.database import empty_log, translated_errors
from vecgate_backends.faiss.operations import Operation, Outcome, run_all
from vecgate_backends.faiss.threads import WRITING_NICENESS, yield_to_searches
from vecgate_backends.faiss.transaction import Transaction
from vecgate_backends.faiss.truth import TruthReader
from vecgate_backends.faiss.turns import Turns, Work

logger = logging.getLogger(__name__)

GROUP_WEIGHT = 4096
"""Records a group takes at most, unless one operation alone is larger; bounds the step in which a group is applied."""
PATIENCE_SHARE = 0.3
"""Where several wrote at once before, a group that is smaller waits so long, in durations of the commit before, for the others to come
again: they were answered just now. One caller alone is never waited for."""
LONGEST_PATIENCE_SECONDS = 0.005
LARGE_WEIGHT = 256
"""Records from which on a group waits for its turn; fewer, if they are not long, are written in less than 10 ms."""
CHECKPOINT_BYTES = 16 * 2**20
"""Size of the write-ahead log from which it is copied into the file and emptied; and how far it grows before that is tried again."""
VACUUM_PAGES = 2048
"""Free pages given back to the file system after a checkpoint, 16 MiB."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Committed(Generic[ValueT]):
    """What an operation answered, and the number of the commit that holds it."""

    value: ValueT
    sequence: int


@dataclass(frozen=True, slots=True)
class _Pending:
    operation: Operation[Any]
    future: asyncio.Future[Committed[Any]]


@dataclass(frozen=True, slots=True)
class _Interlude:
    action: Callable[[], Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Group:
    """A committed group: what each operation came to, and the step in which memory follows."""

    members: Sequence[tuple[_Pending, Outcome[Any]]]
    sequence: int
    apply: Callable[[], None]


class GroupCommitWriter:
    """Takes operations on the event loop it is made on, and resolves their futures there, once durable and applied.

    `prepare` is called on the writer's thread with the changes and the number of each commit, after memory follows all commits before
    it. What it returns is called on the loop once the commit is durable, right before the reader is pinned to it.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        reader: TruthReader,
        prepare: Callable[[Sequence[Change], int], Callable[[], None]],
        turns: Turns,
        journaled_to: int = 0,
        sync_seconds: Distribution | None = None,
    ) -> None:
        """Begin idle.

        Changes of versions up to `journaled_to` are noted in the journal, as a snapshot may hold them. `sync_seconds` is told how long it takes
        to have each commit on the disk.
        """
        self._path = path
        self._connection = connection
        self._reader = reader
        self._prepare = prepare
        self._turns = turns
        self._journaled_to = journaled_to
        self._sync_seconds = sync_seconds or Distribution(())
        self._queue: queue.SimpleQueue[_Pending | _Interlude | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        # A daemon: if the loop dies without close(), the process may still end, and that is no worse than a crash.
        self._thread = threading.Thread(target=self._run, name=f"vecgate-writer-{path.parent.name[:8]}", daemon=True)
        self._closing = False
        self._applied = threading.Event()
        self._applied.set()
        self._group_before = 0  # operations of the last commit
        self._seconds_before = 0.0  # that it took
        self._bytes_kept = 0  # size of a log that could not be emptied

    def start(self) -> None:
        """Pin the reader and begin to work."""
        self._reader.pin()
        self._thread.start()

    def submit(self, operation: Operation[ValueT]) -> asyncio.Future[Committed[ValueT]]:
        """Queue an operation; the future fails with StorageFullError and the like, and then nothing was stored.

        Raises:
            BackendUnavailableError: the writer is closed.
        """
        if self._closing:
            raise BackendUnavailableError("the collection is closed")
        future: asyncio.Future[Committed[ValueT]] = self._loop.create_future()
        self._queue.put(_Pending(operation, future))
        return future

    def between(self, action: Callable[[], ValueT]) -> asyncio.Future[ValueT]:
        """Run an action on the writer's thread between two commits, while memory follows all that is committed and stays as it is.

        Raises:
            BackendUnavailableError: the writer is closed.
        """
        if self._closing:
            raise BackendUnavailableError("the collection is closed")
        future: asyncio.Future[ValueT] = self._loop.create_future()
        self._queue.put(_Interlude(action, future))
        return future

    def journal_to(self, internal_id: int) -> None:
        """Note from now on what changes of versions up to this one; to be called between commits."""
        self._journaled_to = max(self._journaled_to, internal_id)

    async def stop(self) -> None:
        """Finish what is queued, then end the thread; the connection is left to its owner."""
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        yield_to_searches(WRITING_NICENESS)
        while True:
            group, behind = self._next_group()
            began = monotonic()
            try:
                self._commit(group)
                self._group_before, self._seconds_before = len(group), monotonic() - began
                self._checkpoint()
                if isinstance(behind, _Interlude):
                    self._pause(behind)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
                return  # nobody is left to answer
            if behind is None:
                return
            del group, behind  # whoever waits for the next group must not keep the segments that this one replaced

    def _next_group(self) -> tuple[list[_Pending], _Interlude | Literal["more"] | None]:
        """Wait for an operation and take what is queued behind it, up to an interlude or the end, None."""
        group: list[_Pending] = []
        weight = 0
        following = self._queue.get()
        until = monotonic() + min(PATIENCE_SHARE * self._seconds_before, LONGEST_PATIENCE_SECONDS)
        while isinstance(following, _Pending):
            group.append(following)
            weight += following.operation.weight
            if weight >= GROUP_WEIGHT:
                return group, "more"
            awaited = len(group) < self._group_before
            try:
                following = self._queue.get(timeout=max(0.0, until - monotonic()) if awaited else 0.0)
            except queue.Empty:
                return group, "more"
        return group, following

    def _pause(self, interlude: _Interlude) -> None:
        self._applied.wait()
        try:
            found = interlude.action()
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to the caller who waits
            self._loop.call_soon_threadsafe(_fail, interlude.future, error)
        else:
            self._loop.call_soon_threadsafe(_succeed, interlude.future, found)

    def _commit(self, group: Sequence[_Pending]) -> None:
        """Commit a group; if it cannot be, each operation on its own, so that only those fail that must."""
        if not group:
            return
        try:
            committed = self._attempt(group)
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to the caller who waits
            if len(group) > 1:
                for pending in group:
                    self._commit([pending])
            else:
                self._on_loop(partial(_fail, group[0].future, error))
        else:
            self._applied.clear()
            self._loop.call_soon_threadsafe(self._finish, committed)

    def _attempt(self, group: Sequence[_Pending]) -> _Group:
        with translated_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(self._connection, self._journaled_to)
                large = sum(pending.operation.weight for pending in group) >= LARGE_WEIGHT
                with self._turns.turn(Work.COMMIT) if large else nullcontext():
                    outcomes = run_all([pending.operation for pending in group], transaction)
                sequence = transaction.advance_sequence()
                self._applied.wait()
                apply = self._prepare([change for outcome in outcomes for change in outcome.changes], sequence)
                synced = monotonic()
                self._connection.execute("COMMIT")
                self._sync_seconds.add(monotonic() - synced)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        return _Group(list(zip(group, outcomes, strict=True)), sequence, apply)

    def _finish(self, group: _Group) -> None:
        """Apply a commit and answer its callers; runs on the event loop."""
        try:
            group.apply()
            self._reader.pin()
        except Exception as error:
            # Memory no longer follows the file, so nothing more may be acknowledged; a reopened store is right again.
            self._closing = True
            logger.exception("cannot apply commit %d of %s", group.sequence, self._path)
            for pending, _ in group.members:
                _fail(pending.future, error)
        finally:
            self._applied.set()
        for pending, outcome in group.members:
            _succeed(pending.future, Committed(outcome.value, group.sequence))

    def _checkpoint(self) -> None:
        """Empty the write-ahead log once it is large; its readers must let go of it for that."""
        log = self._path.with_name(self._path.name + "-wal")
        size = log.stat().st_size if log.exists() else 0
        if size < self._bytes_kept + CHECKPOINT_BYTES:
            return
        self._bytes_kept = size
        self._applied.wait()
        self._on_loop(self._reader.release)
        try:
            with translated_errors(self._path):
                if empty_log(self._connection):
                    self._bytes_kept = 0
                    self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
                else:
                    logger.warning("another program reads %s, so that its log of %d bytes must grow", self._path, size)
        except Exception:
            # Commits go on without it; the log grows until a later one succeeds.
            logger.warning("cannot checkpoint %s", self._path, exc_info=True)
        finally:
            self._on_loop(self._reader.pin)

    def _on_loop(self, action: Callable[[], None]) -> None:
        """Run an action on the event loop and wait for it."""
        done = threading.Event()

        def run() -> None:
            try:
                action()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait()


def _succeed(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
