"""The live versions of a namespace as a start and a snapshot see them: all but the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pyroaring import BitMap64

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.metadata_columns import metadata_index
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.faiss.ordered_column import InternalIds, contained
from vecgate_backends.faiss.packed_ids import PackedIds
from vecgate_backends.records import Metadata


@dataclass(frozen=True, slots=True)
class NamespaceRecords:
    """Internal ids, ascending, the record ids in the same order, and the index of the metadata."""

    internal_ids: InternalIds
    ids: PackedIds
    metadata: MetadataIndex

    @classmethod
    def of(cls, internal_ids: Sequence[int], ids: Sequence[str], metadata: Sequence[Metadata]) -> NamespaceRecords:
        """Take in versions, ascending, with their record ids and metadata."""
        return cls(np.array(internal_ids, np.int64), PackedIds.of(ids), metadata_index(internal_ids, metadata))

    @classmethod
    def in_blocks(cls, blocks: Sequence[Block], metadata: MetadataIndex) -> NamespaceRecords:
        """Return the live versions of the blocks of a partition, which `metadata` is the index of, to be written and not searched."""
        rows = [np.flatnonzero(block.live) for block in blocks]
        taken = [
            block.record_ids.at(own)
            if isinstance(block.record_ids, PackedIds)
            else PackedIds.of([block.record_ids[row] for row in own.tolist()])
            for block, own in zip(blocks, rows, strict=True)
        ]
        internal_ids = [block.internal_ids[own] for block, own in zip(blocks, rows, strict=True)]
        return cls._sorted(np.concatenate(internal_ids), PackedIds.joined(taken), metadata.folded(searched=False))

    def __len__(self) -> int:
        return len(self.internal_ids)

    def without(self, gone: BitMap64) -> NamespaceRecords:
        """Return what is left without some versions."""
        rows = np.flatnonzero(~contained(self.internal_ids, gone))
        return NamespaceRecords(self.internal_ids[rows], self.ids.at(rows), self.metadata.without(gone))

    def joined(self, other: NamespaceRecords) -> NamespaceRecords:
        """Return the versions of both, which have none in common."""
        internal_ids = np.concatenate([self.internal_ids, other.internal_ids])
        ids = PackedIds.joined([self.ids, other.ids])
        return self._sorted(internal_ids, ids, self.metadata.joined(other.metadata))

    @classmethod
    def _sorted(cls, internal_ids: InternalIds, ids: PackedIds, metadata: MetadataIndex) -> NamespaceRecords:
        order = np.argsort(internal_ids, kind="stable")
        return cls(internal_ids[order], ids.at(order), metadata)
