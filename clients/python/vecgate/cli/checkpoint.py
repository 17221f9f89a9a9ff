"""How far a run came, so that the same command continues where the server last acknowledged.

A checkpoint belongs to one source as it was (a file's size, time of change, digest of its beginning), one collection as it was
made, and one set of options; anything else starts anew. It is written after records are acknowledged, so it may lag behind what
is stored, never run ahead of it; what is sent twice is stored once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Position:
    """What is behind us.

    Attributes:
        rows: rows of the source whose records were all stored or refused.
        stored: records stored.
        refused: records refused.
        reused: texts of stored records that the server did not encode again.
        truncated: texts of stored records that were cut.
        refused_bytes: length of the file of refused records.
        reconnects: how often the connection broke off and the run went on over another.
    """

    rows: int = 0
    stored: int = 0
    refused: int = 0
    refused_bytes: int = 0
    reused: int = 0
    truncated: int = 0
    reconnects: int = 0


class Checkpoint:
    """The file that remembers a Position."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Position:
        """Return the position; the beginning if there is none or the file is damaged."""
        try:
            return Position(**json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return Position()

    def save(self, position: Position) -> None:
        """Replace the position, whole or not at all.

        Raises:
            OSError: the state directory cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(position)), encoding="utf-8")
        os.replace(beside, self._path)  # noqa: PTH105  # says what it is for: an atomic replacement

    def clear(self) -> None:
        """Forget the position."""
        self._path.unlink(missing_ok=True)


def checkpoint_for(identity: Sequence[object], state_directory: Path, circumstances: Sequence[object]) -> Checkpoint:
    """Find the checkpoint of a source.

    Args:
        identity: what tells the source from another, or from what it was, in terms of JSON.
        state_directory: where checkpoints are kept.
        circumstances: everything else that must be the same for a run to continue, in terms of JSON.
    """
    name = hashlib.sha256(json.dumps([*identity, *circumstances]).encode()).hexdigest()
    return Checkpoint(state_directory / f"{name}.json")
