"""A partition: everything a namespace of a collection keeps in memory. Touched on the event loop only, but for prepare()."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.changes import (
    Change,
    MetadataUpdated,
    NamespaceCleared,
    RecordsAdded,
    RecordsRemoved,
    SegmentsReplaced,
    indexed_metadata,
)
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.segment import Segment

VALUES_A_STEP = 4096
"""Metadata values that are indexed on the event loop, about 5 ms; more are indexed aside, in a copy of the index."""


class Partition:
    """Head, segments and metadata index of one namespace, following the commits one by one.

    Attributes:
        metadata: the index of its metadata. segments: in no order.
        commits: how many were applied. metadata_updates: how many changes of metadata were among them.
        sealing: whether a rebuild of chunks of the head is under way.
        rebuilding: whether one of segments is. Both are the Sealer's to set.
    """

    def __init__(
        self,
        namespace: str,
        dimension: int,
        segments: Sequence[Segment] = (),
        metadata: MetadataIndex | None = None,
    ) -> None:
        """Begin with these segments, and the index of the metadata of them and of what is added to the head next."""
        self.namespace = namespace
        self.metadata = MetadataIndex() if metadata is None else metadata
        self.head = Head(dimension)
        self.segments = tuple(segments)
        self.sealing = self.rebuilding = False
        self.commits = self.metadata_updates = 0

    def __len__(self) -> int:
        return len(self.metadata)

    def blocks(self) -> list[Block]:
        """Return all that is to be searched: each live version is in exactly one block."""
        return [*(segment.block for segment in self.segments), *self.head.blocks()]

    def prepare(self, changes: Sequence[Change]) -> MetadataIndex | None:
        """Do what apply() would do with the metadata, if that is much, and have the head get memory; on any thread, while nothing is applied."""
        self.head.make_room(sum(len(change.internal_ids) for change in changes if isinstance(change, RecordsAdded)))
        values = sum(len(metadata) for change in changes for metadata in indexed_metadata(change))
        return self.metadata.following(changes) if values > VALUES_A_STEP or self.metadata.due else None

    def apply(self, changes: Sequence[Change], prepared: MetadataIndex | None) -> None:
        """Follow the changes of a commit; `prepared` is what prepare() returned for them."""
        for change in changes:
            self._move(change)
            self.metadata_updates += isinstance(change, MetadataUpdated)
            if prepared is None:
                self.metadata.follow(change)
        if prepared is not None:
            self.metadata = prepared
        self.commits += 1
        self.head.compact()

    def _move(self, change: Change) -> None:
        """Let the vectors follow one change."""
        match change:
            case RecordsAdded(_, internal_ids, ids, vectors, _):
                self.head.append(internal_ids, ids, vectors)
            case RecordsRemoved(_, internal_ids, _):
                self._remove(internal_ids)
            case NamespaceCleared():
                self.head.clear()
                self.segments = tuple(_emptied(segment) for segment in self.segments)
            case SegmentsReplaced():
                self._publish(change)

    def _remove(self, internal_ids: Iterable[int]) -> None:
        removed = np.sort(np.fromiter(internal_ids, np.int64))
        self.head.remove(removed)
        self.segments = tuple(segment.with_block(segment.block.without(removed)) for segment in self.segments)

    def _publish(self, change: SegmentsReplaced) -> None:
        """Put the new segment in the place of its sources; what died since it was begun is dead in it."""
        rebuild = change.rebuild
        now = {segment.row.uuid: segment for segment in self.segments}
        current = [now[source.row.uuid].block for source in rebuild.segments]
        current.extend(self.head.blocks()[: len(rebuild.head)])
        replaced = {source.row.uuid for source in rebuild.segments}
        kept = [segment for segment in self.segments if segment.row.uuid not in replaced]
        if change.segment is not None:
            kept.append(change.segment.with_block(change.segment.block.without(rebuild.died_since(current))))
        self.head.drop_chunks(len(rebuild.head))
        self.segments = tuple(kept)


def _emptied(segment: Segment) -> Segment:
    return segment.with_block(segment.block.with_live(np.zeros(len(segment.block), np.bool_)))
