"""A partition: everything a namespace of a collection keeps in memory. Touched on the event loop only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.changes import (
    Change,
    MetadataUpdated,
    NamespaceCleared,
    RecordsAdded,
    RecordsRemoved,
    SegmentsReplaced,
)
from vecgate_backends.faiss.head import Head
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.segment import Segment


class Partition:
    """Head, segments and metadata index of one namespace, following the commits one by one.

    Attributes:
        metadata: the index of its metadata. segments: in no order.
        rebuilding: whether a rebuild is under way, so that the head's rows and chunks must keep their places; the Sealer's to set.
    """

    def __init__(self, namespace: str, dimension: int, segments: Sequence[Segment] = ()) -> None:
        self.namespace = namespace
        self.metadata = MetadataIndex()
        self.head = Head(dimension)
        self.segments = tuple(segments)
        self.rebuilding = False

    def __len__(self) -> int:
        return len(self.metadata)

    def blocks(self) -> list[Block]:
        """Return all that is to be searched: each live version is in exactly one block."""
        return [*(segment.block for segment in self.segments), *self.head.blocks()]

    def record_ids(self, internal_ids: NDArray[np.int64]) -> list[str]:
        """Return the ids of the records whose live versions these are, ascending; in no order."""
        return [block.record_ids[row] for block in self.blocks() for row in block.rows_of(internal_ids).tolist()]

    def apply(self, change: Change) -> None:
        """Follow one change of a commit."""
        match change:
            case RecordsAdded(_, internal_ids, ids, vectors, metadata):
                self.head.append(internal_ids, ids, vectors)
                self.metadata.add(internal_ids.tolist(), metadata)
            case RecordsRemoved(_, internal_ids, metadata):
                self._remove(internal_ids)
                self.metadata.remove(internal_ids, metadata)
            case NamespaceCleared():
                self.head.clear()
                self.segments = tuple(_emptied(segment) for segment in self.segments)
                self.metadata.clear()
            case MetadataUpdated(_, internal_ids, before, after):
                self.metadata.remove(internal_ids, before)
                self.metadata.add(internal_ids, after)
            case SegmentsReplaced():
                self._publish(change)
        if not self.rebuilding:
            self.head.compact()

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
