"""Watching the segment files of a running server from outside: what was sealed, and what was merged."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<8sIIQ")
"""Magic, format version, dimension, count; then the internal ids: see vecgate_backends.faiss.segment_file."""
_FAISS_KINDS = {b"IHNf": "hnsw", b"IHNs": "hnsw-scalar8", b"IwSq": "ivf"}
"""The first bytes of an index as Faiss writes it."""


@dataclass(frozen=True)
class SegmentFile:
    """What a segment file says of itself."""

    name: str
    kind: str
    internal_ids: NDArray[np.int64]


def read_segment_file(path: Path) -> SegmentFile:
    """Read a file without the product's code, which a test of damage cannot rely on.

    Raises:
        FileNotFoundError: it was merged away meanwhile.
    """
    stored = path.read_bytes()
    _, _, dimension, count = _HEADER.unpack_from(stored)
    begin = _HEADER.size + 8 * count
    apart = begin + 4 * dimension * count
    kind = _FAISS_KINDS.get(stored[begin : begin + 4]) or _FAISS_KINDS.get(stored[apart : apart + 4], "flat")
    return SegmentFile(path.stem, kind, np.frombuffer(stored, "<i8", count, _HEADER.size))


class SegmentWatch:
    """Counts what became of the segments of some stores, by the kind of the new segment.

    A version has one internal id for ever. So a new segment with none that was seen in a segment before was sealed from the head, and one
    with internal ids of two earlier segments or more is those, merged.

    Attributes:
        sealed, merged: kind → how many. drafts: how often a file was found that a killed server had not finished.
    """

    def __init__(self) -> None:
        self.sealed: Counter[str] = Counter()
        self.merged: Counter[str] = Counter()
        self.drafts = 0
        self._seen: dict[Path, dict[str, SegmentFile]] = {}

    def __str__(self) -> str:
        """Tell the counts."""
        return f"sealed {dict(self.sealed)}, merged {dict(self.merged)}, builds cut short {self.drafts}"

    def look(self, directory: Path) -> None:
        """Take in what a directory of segments holds now."""
        seen = self._seen.setdefault(directory, {})
        for file in _new_files(directory, seen):
            sources = sum(bool(np.isin(file.internal_ids, earlier.internal_ids).any()) for earlier in seen.values())
            if sources != 1:  # one alone was built anew without its dead rows
                (self.merged if sources else self.sealed)[file.kind] += 1
            seen[file.name] = file

    def look_at_what_is_left(self, directory: Path) -> None:
        """Do so after a kill, when unfinished files are those of builds that were cut short."""
        self.drafts += len(list(directory.glob("*.new")))
        self.look(directory)


def _new_files(directory: Path, seen: dict[str, SegmentFile]) -> Iterator[SegmentFile]:
    for path in sorted(directory.glob("*.segment"), key=lambda path: path.stat().st_mtime_ns):
        if path.stem not in seen:
            yield read_segment_file(path)
