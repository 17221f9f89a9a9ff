"""Snapshots in the background: written when a start would have much to read, and at the end; they hold up neither searches nor writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vecgate_backends.errors import VecgateError
from vecgate_backends.faiss import held_records
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.build_steps import BuildStoppedError
from vecgate_backends.faiss.building_queue import BuildingQueue, BuildOrders, Urgency
from vecgate_backends.faiss.changes import Change, MetadataUpdated, RecordsAdded, RecordsRemoved
from vecgate_backends.faiss.manifest import SnapshotRow
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.namespace_records import NamespaceRecords
from vecgate_backends.faiss.operations import ReplaceSnapshot
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.snapshot_file import snapshot_path, write_snapshot
from vecgate_backends.faiss.writer import GroupCommitWriter

logger = logging.getLogger(__name__)

STALE_SHARE = 0.25
"""Share of the records that a start would have to read from which a snapshot is written; so writing them costs a share of all writes."""
STALE_AT_CLOSE = 0.01
"""The same when the collection is closed."""
RETRY_SECONDS = 30.0
"""How long no snapshot is tried after a failure, a full disk for instance."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a collection held at a commit: blocks and a copy of the metadata index of each namespace, and the number of the commit."""

    namespaces: Mapping[str, tuple[Sequence[Block], MetadataIndex]]
    sequence: int

    @classmethod
    def of(cls, partitions: Iterable[Partition], sequence: int) -> Captured:
        """Capture partitions, none of which may change meanwhile; about 10 ns a value outside columns."""
        held = {each.namespace: (each.blocks(), each.metadata.copy()) for each in partitions if len(each)}
        return cls(held, sequence)

    @property
    def last_internal_id(self) -> int:
        """No version held has a larger one."""
        blocks = (block for held, _ in self.namespaces.values() for block in held if len(block))
        return max((int(block.internal_ids[-1]) for block in blocks), default=0)


class Snapshotter:
    """Decides on snapshots of one collection and sees them through; used on the event loop."""

    def __init__(
        self,
        name: str,
        directory: Path,
        writer: GroupCommitWriter,
        builders: BuildingQueue,
        capture: Callable[[], Captured],
        *,
        stale: int,
    ) -> None:
        """Begin idle.

        Args:
            name: of the collection, for the log.
            directory: of the snapshots.
            writer: of the collection.
            builders: where snapshots are made and written.
            capture: captures the collection; called between commits.
            stale: records that the start that ends now had to read.
        """
        self._name = name
        self._directory = directory
        self._writer = writer
        self._orders = BuildOrders(builders)
        self._capture = capture
        self._stale = stale
        self._task: asyncio.Task[None] | None = None
        self._resume_at = 0.0
        self._closing = False

    def follow(self, changes: Iterable[Change]) -> None:
        """Count what a commit adds to what a start would have to read."""
        for change in changes:
            if isinstance(change, RecordsAdded | RecordsRemoved | MetadataUpdated):
                self._stale += len(change.internal_ids)

    def consider(self, records: int) -> None:
        """Begin a snapshot of the collection, which has so many records, if one is due and none is under way."""
        if (
            self._closing
            or self._task is not None
            or self._stale < max(held_records.READ_WHOLE, STALE_SHARE * records)
            or records <= held_records.READ_WHOLE
        ):
            return
        if asyncio.get_running_loop().time() >= self._resume_at:
            self._task = asyncio.create_task(self._see_through())

    async def settle(self) -> None:
        """Wait until no snapshot is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def finish(self, records: int) -> None:
        """Wait for the snapshot under way, and write a last one if the next start would have much to read."""
        self._closing = True
        await self.settle()
        if records > held_records.READ_WHOLE and self._stale > STALE_AT_CLOSE * records:
            await self._see_through()

    async def abandon(self) -> None:
        """Give up the snapshot that has not begun, and wait for the one that has: the collection is deleted."""
        self._closing = True
        self._orders.withdraw()
        await self.settle()

    async def _see_through(self) -> None:
        try:
            await self._replace()
        except BuildStoppedError:
            return
        except (OSError, VecgateError) as error:
            self._put_off(str(error))
        except Exception:
            logger.exception("a snapshot broke down")
            self._put_off("unexpected")
        finally:
            self._task = None

    def _put_off(self, reason: str) -> None:
        logger.warning("cannot write a snapshot of collection %s (the next start takes longer): %s", self._name, reason)
        self._resume_at = asyncio.get_running_loop().time() + RETRY_SECONDS

    async def _replace(self) -> None:
        captured = await self._writer.between(self._captured)
        stale, self._stale = self._stale, 0
        try:
            row = await self._orders.run(Urgency.SNAPSHOT, partial(self._write, captured))
            await self._register(row)
        except BaseException:
            self._stale += stale
            raise
        await asyncio.to_thread(self._remove_others, row)

    def _captured(self) -> Captured:
        captured = self._capture()
        self._writer.journal_to(captured.last_internal_id)
        return captured

    def _write(self, captured: Captured) -> SnapshotRow:
        held = {
            namespace: NamespaceRecords.in_blocks(blocks, metadata)
            for namespace, (blocks, metadata) in captured.namespaces.items()
        }
        return write_snapshot(self._directory, held, captured.sequence)

    async def _register(self, row: SnapshotRow) -> None:
        try:
            await self._writer.submit(ReplaceSnapshot(row))
        except VecgateError:
            snapshot_path(self._directory, row.uuid).unlink(missing_ok=True)
            raise

    def _remove_others(self, row: SnapshotRow) -> None:
        for path in self._directory.iterdir():
            if path != snapshot_path(self._directory, row.uuid):
                path.unlink()
