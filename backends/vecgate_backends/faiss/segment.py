"""A segment: an immutable block with a file of its own and a row in the manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.manifest import SegmentRow


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows, and what the manifest says of their file."""

    row: SegmentRow
    block: Block

    def with_block(self, block: Block) -> Segment:
        """Return the segment with other rows alive."""
        return replace(self, block=block)
