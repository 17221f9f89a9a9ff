"""Vectors of texts that were encoded lately."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, Role

LONGEST_CHARACTERS = 4_096
"""Longer texts are not looked for: hashing them would hold up the event loop."""
KEY_BYTES = 16
# An entry's key, objects and share of the table, as measured.
ENTRY_BYTES = 400


@dataclass(frozen=True, slots=True)
class CachedVector:
    """What became of a text: its vector, float32 of shape (dimension,), and how it was read; see TokenizedText."""

    vector: NDArray[np.float32]
    tokens: int
    counted: int


def text_key(text: str, role: Role) -> bytes | None:
    """Return what stands for a text of a role, 16 bytes by which no two are taken for each other; None if it is too long."""
    if len(text) > LONGEST_CHARACTERS:
        return None
    # A surrogate alone is no UTF-8, but a text all the same.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES, key=role.value.encode()).digest()


class VectorCache:
    """The vectors of one model's texts, by their keys; those not asked for longest leave first. Not for several threads."""

    def __init__(self, capacity_bytes: int) -> None:
        """Set the most that it takes; 0 keeps nothing."""
        self.capacity_bytes = capacity_bytes
        self._entries: OrderedDict[bytes, CachedVector] = OrderedDict()
        self._model: tuple[str, str, str] | None = None
        self.bytes = 0

    def belong_to(self, model: ModelDescription) -> None:
        """Say whose vectors these are; if they were another's, or made with another prompt, they are dropped."""
        identity = (model.fingerprint, model.query_prompt, model.document_prompt)
        if identity != self._model:
            self._entries.clear()
            self.bytes = 0
            self._model = identity

    def get(self, key: bytes | None) -> CachedVector | None:
        """Look a text up."""
        if key is None:
            return None
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes | None, entry: CachedVector) -> None:
        """Keep a text's vector; the array must be the cache's own, not a view that keeps a larger one."""
        size = _size(entry)
        if key is None or key in self._entries or size > self.capacity_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        while self.bytes > self.capacity_bytes:
            _, gone = self._entries.popitem(last=False)
            self.bytes -= _size(gone)


def _size(entry: CachedVector) -> int:
    return entry.vector.nbytes + ENTRY_BYTES
