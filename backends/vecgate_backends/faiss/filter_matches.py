"""What passed filters that were asked for lately: an application asks for few, each many times between two writes."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.filters import Filter

KEPT_BYTES = 1 << 22
"""Memory that the matches of one partition may take."""
KEPT_FILTERS = 64
LONGEST_TEXT = 1024
"""Characters of a filter that is remembered; longer ones are seldom asked for twice."""
ENTRY_BYTES = 400
"""What a filter takes beside its text and its matches."""


class FilterMatches:
    """Matches of one partition until it changes; the one not used for longest is forgotten first."""

    __slots__ = ("_found", "_kept")

    def __init__(self) -> None:
        self._found: OrderedDict[str, NDArray[np.int64]] = OrderedDict()
        self._kept = 0

    def of(self, node: Filter, text: str, metadata: MetadataIndex) -> NDArray[np.int64]:
        """Return the versions that pass, ascending; not to be changed.

        Args:
            node: the filter.
            text: repr(node): Eq("a", 1) and Eq("a", True) are equal to Python, and mean different things.
            metadata: the index of the partition as it is now.
        """
        known = self._found.get(text)
        if known is not None:
            self._found.move_to_end(text)
            return known
        found = metadata.matching(node)
        if len(text) <= LONGEST_TEXT and _bytes(text, found) <= KEPT_BYTES:
            self._found[text] = found
            self._kept += _bytes(text, found)
            while self._kept > KEPT_BYTES or len(self._found) > KEPT_FILTERS:
                self._kept -= _bytes(*self._found.popitem(last=False))
        return found

    def forget(self) -> None:
        """Forget everything, since the partition has changed."""
        if self._found:
            self._found.clear()
            self._kept = 0


def _bytes(text: str, found: NDArray[np.int64]) -> int:
    return ENTRY_BYTES + 4 * len(text) + found.nbytes
