"""What passed filters that were asked for lately: an application asks for few, each many times between two writes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.partition import Partition
from vecgate_backends.filters import Filter

KEPT_BYTES = 1 << 25
"""Memory that all matches of a collection may take, however many namespaces it has."""
LONGEST_TEXT = 1024
"""Characters of a filter that is remembered; longer ones are seldom asked for twice."""
ENTRY_BYTES = 500
"""What a filter takes beside its text and its matches."""


@dataclass(frozen=True, slots=True)
class _Matches:
    """The versions that passed, ascending, after so many commits of the partition."""

    versions: NDArray[np.int64]
    commits: int
    bytes: int


class FilterMatches:
    """Matches of one collection; the one not used for longest is forgotten first."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str], _Matches] = OrderedDict()
        self._kept = 0

    def of(self, node: Filter, text: str, partition: Partition) -> NDArray[np.int64]:
        """Return the versions that pass, ascending; not to be changed.

        Args:
            node: the filter.
            text: repr(node): Eq("a", 1) and Eq("a", True) are equal to Python, and mean different things.
            partition: whose versions.
        """
        key = (partition.namespace, text)
        known = self._found.get(key)
        if known is not None and known.commits == partition.commits:
            self._found.move_to_end(key)
            return known.versions
        versions = partition.metadata.matching(node)
        self._forget(key)
        size = ENTRY_BYTES + 4 * (len(text) + len(partition.namespace)) + versions.nbytes
        if len(text) <= LONGEST_TEXT and size <= KEPT_BYTES:
            self._found[key] = _Matches(versions, partition.commits, size)
            self._kept += size
            while self._kept > KEPT_BYTES:
                self._forget(next(iter(self._found)))
        return versions

    def _forget(self, key: tuple[str, str]) -> None:
        forgotten = self._found.pop(key, None)
        if forgotten is not None:
            self._kept -= forgotten.bytes
