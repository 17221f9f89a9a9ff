"""Rebuilding in the background: seals full heads and merges segments, never blocking a search.

What is due while records are written begins at once; what pays only when they are not waits until a partition was left alone for a while.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from vecgate_backends.errors import VecgateError
from vecgate_backends.faiss.build_steps import BuildSteps, BuildStoppedError
from vecgate_backends.faiss.building_queue import BuildOrders, Urgency
from vecgate_backends.faiss.operations import ReplaceSegments
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.rebuild import Rebuild, build_segment, choose_quiet_merge, choose_rebuild, choose_seal
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.segment_file import segment_path
from vecgate_backends.faiss.threads import Threads
from vecgate_backends.faiss.turns import Work
from vecgate_backends.faiss.writer import GroupCommitWriter
from vecgate_backends.records import CollectionSpec

logger = logging.getLogger(__name__)

CONSIDERED_AT_ONCE = 16
"""Partitions looked at before searches have their turn, about 1 ms where each of them begins to be built anew."""
HEAD_LIMIT = 2
"""Times the rows that make a head full, from which on writers wait for the seal: what searches compare exactly is bounded, and no faster
writing can be kept up anyway. Measured: with 4 a bulk load of 100,000 vectors is 1.04 times as fast."""
RETRY_SECONDS = 30.0
"""How long nothing is rebuilt after a failure, a full disk for instance; searches are right meanwhile, if slower. Then it is tried again."""


@dataclass(frozen=True, slots=True)
class SealSettings:
    """When blocks become segments.

    Attributes:
        threshold: rows of the head that make it full, at least 1.
        quiet_seconds: how long a partition is left alone before its segments are merged further; 0: they never are.
    """

    threshold: int
    quiet_seconds: float


class Sealer:
    """Decides on rebuilds of one collection's partitions and sees them through; used on the event loop."""

    def __init__(
        self,
        spec: CollectionSpec,
        directory: Path,
        writer: GroupCommitWriter,
        settings: SealSettings,
        threads: Threads,
    ) -> None:
        self._spec = spec
        self._directory = directory
        self._writer = writer
        self._settings = settings
        self._seals = BuildOrders(threads.sealers)
        self._rebuilds = BuildOrders(threads.builders)
        self._heads_change = asyncio.Event()
        self._coming: Counter[str] = Counter()  # rows that writers were let in with, by namespace
        self._stopped = threading.Event()
        self._turns = threads.turns
        self._tasks: set[asyncio.Task[None]] = set()
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        self._resume_at = 0.0

    def consider(self, partition: Partition) -> None:
        """Begin what is due of the partition and not under way, of its head and of its segments; called whenever it has changed."""
        self._heads_change.set()
        if partition.namespace in self._pauses:
            self._pauses.pop(partition.namespace).cancel()
        if (partition.sealing and partition.rebuilding) or self._stopped.is_set():
            return
        failed = self._resume_at - asyncio.get_running_loop().time()
        if failed > 0:
            self._come_back(partition, failed, self.consider)
            return
        if not partition.sealing and (seal := choose_seal(partition.head, self._settings.threshold)):
            self._begin(partition, seal)
        if not partition.rebuilding and (
            rebuild := choose_rebuild(partition.segments, self._settings.threshold, self._spec.index)
        ):
            self._begin(partition, rebuild)
        if partition.segments and self._settings.quiet_seconds and not (partition.sealing or partition.rebuilding):
            self._come_back(partition, self._settings.quiet_seconds, self._merge_quiet)

    @asynccontextmanager
    async def room(self, partition: Callable[[], Partition], rows: int) -> AsyncIterator[None]:
        """Hold a writer of so many rows back while HEAD_LIMIT times the rows that make the head full are in it or on their way there.

        Nobody is held back while the head cannot be sealed. `partition` returns what there is of it by then.
        """
        namespace = partition().namespace
        while not self._has_room(partition().head.live + self._coming[namespace]):
            self._heads_change.clear()
            await self._heads_change.wait()
        self._coming[namespace] += rows
        try:
            yield
        finally:
            self._coming[namespace] -= rows
            if not self._coming[namespace]:
                del self._coming[namespace]
            self._heads_change.set()

    def _has_room(self, rows: int) -> bool:
        if self._stopped.is_set() or asyncio.get_running_loop().time() < self._resume_at:
            return True
        return rows < HEAD_LIMIT * self._settings.threshold

    async def follow(self, spec: CollectionSpec, partitions: Sequence[Partition]) -> None:
        """Take over other settings of the index, and begin to build anew what was built with others."""
        self._spec = spec
        for begin in range(0, len(partitions), CONSIDERED_AT_ONCE):
            for partition in partitions[begin : begin + CONSIDERED_AT_ONCE]:
                self.consider(partition)
            await asyncio.sleep(0)

    def _come_back(self, partition: Partition, seconds: float, look: Callable[[Partition], None]) -> None:
        """Look at the partition again in a while, unless it changes before."""
        self._pauses[partition.namespace] = asyncio.get_running_loop().call_later(seconds, look, partition)

    def _merge_quiet(self, partition: Partition) -> None:
        """Merge what pays now that nothing has changed for a while."""
        del self._pauses[partition.namespace]
        if asyncio.get_running_loop().time() < self._resume_at:
            self.consider(partition)
            return
        merge = choose_quiet_merge(partition.head, partition.segments)
        if merge is not None:
            self._begin(partition, merge)

    def _begin(self, partition: Partition, rebuild: Rebuild) -> None:
        partition.sealing |= bool(rebuild.head)
        partition.rebuilding |= bool(rebuild.segments)
        task = asyncio.create_task(self._see_through(partition, rebuild))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until no rebuild is under way or due; what waits for a pause in writing is not."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self) -> None:
        """Give up what is under way; nothing is lost by it."""
        self._stopped.set()
        self._heads_change.set()
        self._seals.withdraw()
        self._rebuilds.withdraw()
        for pause in self._pauses.values():
            pause.cancel()
        self._pauses.clear()
        await self.settle()

    async def _see_through(self, partition: Partition, rebuild: Rebuild) -> None:
        spec = self._spec
        try:
            orders = self._rebuilds if rebuild.segments else self._seals
            segment = await orders.run(
                Urgency.REBUILD if rebuild.segments else Urgency.FULL_HEAD,
                lambda: build_segment(
                    rebuild,
                    partition.namespace,
                    spec,
                    self._directory,
                    BuildSteps(self._stopped.is_set, self._turns, Work.SEAL if rebuild.head else Work.MERGE),
                    # Without pauses a draft might stay for ever.
                    drafts=bool(self._settings.quiet_seconds),
                ),
            )
            await self._register(partition, rebuild, segment)
            await asyncio.to_thread(self._remove_files, rebuild)
        except BuildStoppedError:
            return
        except (OSError, VecgateError) as error:
            self._pause(f"{type(error).__name__}: {error}")
        except Exception:
            logger.exception("a rebuild broke down")
            self._pause("unexpected")  # what Faiss raises has any type
        finally:
            if rebuild.segments:
                partition.rebuilding = False
            if rebuild.head:
                partition.sealing = False
                partition.head.release()
                partition.head.compact()  # what died meanwhile had to keep its place
        self.consider(partition)

    def _pause(self, reason: str) -> None:
        logger.warning("cannot rebuild the index of collection %s (searches stay right): %s", self._spec.name, reason)
        self._resume_at = asyncio.get_running_loop().time() + RETRY_SECONDS
        self._heads_change.set()  # there is nothing to wait for

    async def _register(self, partition: Partition, rebuild: Rebuild, segment: Segment | None) -> None:
        """Commit the segment to the manifest; applying that commit publishes it."""
        try:
            await self._writer.submit(ReplaceSegments(partition.namespace, rebuild, segment))
        except VecgateError:
            if segment is not None:
                segment_path(self._directory, segment.row.uuid).unlink(missing_ok=True)
            raise

    def _remove_files(self, rebuild: Rebuild) -> None:
        for segment in rebuild.segments:
            segment_path(self._directory, segment.row.uuid).unlink(missing_ok=True)
