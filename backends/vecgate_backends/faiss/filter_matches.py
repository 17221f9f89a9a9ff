"""What passed filters that were asked for lately: an application asks for few, each many times between two writes."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.filters import Filter

KEPT_VERSIONS = 1 << 21
"""Versions kept of all filters of a partition together, 16 MiB."""


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
        if len(found) <= KEPT_VERSIONS:
            self._found[text] = found
            self._kept += len(found) + 1
            while self._kept > KEPT_VERSIONS:
                _, forgotten = self._found.popitem(last=False)
                self._kept -= len(forgotten) + 1
        return found

    def forget(self) -> None:
        """Forget everything, since the partition has changed."""
        if self._found:
            self._found.clear()
            self._kept = 0
