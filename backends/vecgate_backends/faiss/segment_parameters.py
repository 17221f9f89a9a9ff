"""The parameters of a segment as its row in the manifest has them, in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from vecgate_backends.faiss.codec import decode_index, encode_index
from vecgate_backends.records import IndexConfig


@dataclass(frozen=True, slots=True)
class SegmentParameters:
    """The index settings a segment was built with, and the breadth that was measured for it (0 without an index).

    Attributes:
        draft: whether it was built in a hurry, less broadly than the settings say.
    """

    index: IndexConfig
    breadth: int
    draft: bool = False

    def encode(self) -> str:
        """Return the JSON text."""
        # Named for graphs, which were there first, so that older segments are read.
        draft = {"draft": True} if self.draft else {}
        return json.dumps({"index": encode_index(self.index), "calibrated_ef": self.breadth} | draft)

    @classmethod
    @lru_cache(1024)  # asked of each segment whenever its partition has changed
    def decode(cls, text: str) -> SegmentParameters:
        """Return what encode() was called on."""
        stored = json.loads(text)
        return cls(decode_index(stored["index"]), stored["calibrated_ef"], stored.get("draft", False))
