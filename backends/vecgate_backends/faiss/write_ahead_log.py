"""Telling a damaged write-ahead log from one that a crash left: SQLite itself drops all commits behind the first bad frame silently.

The format is https://www.sqlite.org/fileformat2.html#the_write_ahead_log. A commit is written only after the one before it was synced, so
a crash can spoil the last commit of a log and no other. If whole commits stand behind the first bad frame but the last, what is bad was
once good. Damage to the last commit alone looks like a crash, and cannot be told from one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.errors import StorageCorruptError

_HEADER = struct.Struct(">8I")
"""Magic, format version, page size, number of checkpoints, two salts, two checksums of what is before them."""
_FRAME_HEADER_BYTES = 24
"""Page number, pages of the file after a commit (0 without), two salts, two checksums; then the page."""
_MAGIC = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""Magic → how the words of a checksum are read."""
_FRAMES_A_LOT = 256

_Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class _Log:
    """A log whose header is sound."""

    word: str
    page_bytes: int
    salts: tuple[int, int]
    checksum: tuple[int, int]


def check_log(database: Path) -> None:
    """Check the write-ahead log of a SQLite file, if there is one.

    No one has the file open, or else the caller reads a commit of it that stays in the log meanwhile: then the log up to its present size
    holds that commit, and at most its last frame is still being written.

    Raises:
        StorageCorruptError: commits stand in it that SQLite would drop; nothing was changed.
        OSError: it cannot be read.
    """
    path = database.with_name(database.name + "-wal")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size <= _HEADER.size:
        return  # the header is synced before the first frame follows it
    with path.open("rb") as file:
        log = _header(file.read(_HEADER.size))
        if log is None or _dropped_commits(file, log, size - _HEADER.size) > 1:
            raise StorageCorruptError(f"{path.name} is damaged: acknowledged writes in it cannot be read")


def _header(stored: bytes) -> _Log | None:
    magic, _, page_bytes, _, *salts_and_checksum = _HEADER.unpack(stored)
    if magic not in _MAGIC or page_bytes < 512:  # the smallest page there is
        return None
    first_salt, second_salt, *checksum = salts_and_checksum
    log = _Log(_MAGIC[magic], page_bytes, (first_salt, second_salt), (checksum[0], checksum[1]))
    covered = np.frombuffer(stored[:-8], log.word).astype(np.uint32)[None, :]
    return log if _Checksum((0, 0)).extended(covered).values == log.checksum else None


def _dropped_commits(file: BinaryIO, log: _Log, size: int) -> int:
    """Count the commits behind the first bad frame of this log, whose frames take `size` bytes.

    Those of an earlier log, with other salts, do not count.
    """
    checksum = _Checksum(log.checksum)
    sound = True
    dropped = 0
    frame_bytes = _FRAME_HEADER_BYTES + log.page_bytes
    while lot := file.read(min(size, frame_bytes * _FRAMES_A_LOT)):
        size -= len(lot)
        frames = np.frombuffer(lot[: len(lot) - len(lot) % frame_bytes], np.uint8).reshape(-1, frame_bytes)
        headers = frames[:, :_FRAME_HEADER_BYTES].copy().view(">u4")
        ours = (headers[:, 2] == log.salts[0]) & (headers[:, 3] == log.salts[1])
        first_bad = 0
        if sound:
            covered = np.concatenate([frames[:, :8], frames[:, _FRAME_HEADER_BYTES:]], axis=1).view(log.word)
            contributions = _contributions(covered.astype(np.uint32))
            while first_bad < len(frames):
                following = checksum.advanced(contributions[first_bad], covered.shape[1] // 2)
                if not ours[first_bad] or following.values != tuple(headers[first_bad, 4:6].tolist()):
                    sound = False
                    break
                checksum = following
                first_bad += 1
        dropped += int(np.count_nonzero(ours[first_bad:] & (headers[first_bad:, 1] != 0)))
    return dropped


@dataclass(frozen=True, slots=True)
class _Checksum:
    """The running checksum (a, b), modulo 2^32: each pair of words (x, y) makes it (a + b + x, a + 2b + x + y).

    That is linear, so what many words add to it is one matrix product, and pairs of zeros are a power of ((1, 1), (1, 2)).
    """

    values: tuple[int, int]

    def extended(self, words: _Words) -> _Checksum:
        """Return the checksum after one row of words, shape (1, words)."""
        return self.advanced(_contributions(words)[0], words.shape[1] // 2)

    def advanced(self, contribution: _Words, pairs: int) -> _Checksum:
        """Return the checksum after so many pairs, whose contribution from (0, 0) is known."""
        a, b = self.values
        before, at, after = _powers(pairs)
        return _Checksum(
            (
                (before * a + at * b + int(contribution[0])) % 2**32,
                (at * a + after * b + int(contribution[1])) % 2**32,
            )
        )


def _contributions(words: _Words) -> _Words:
    """Return the checksum from (0, 0) of each row of words, shape (rows, 2)."""
    contributions: _Words = words @ _weights(words.shape[1])
    return contributions


@lru_cache(maxsize=4)
def _weights(words: int) -> _Words:
    """Return what a unit of each word adds to the checksum, shape (words, 2)."""
    weights = np.empty((words, 2), np.uint32)
    x, y = (1, 1), (0, 1)  # the last pair
    for at in range(words - 2, -1, -2):
        weights[at], weights[at + 1] = x, y
        x, y = _step(x), _step(y)
    return weights


@lru_cache(maxsize=4)
def _powers(pairs: int) -> tuple[int, int, int]:
    """Return the distinct entries of ((1, 1), (1, 2)) to the power of `pairs`."""
    x, y = (1, 0), (0, 1)
    for _ in range(pairs):
        x, y = _step(x), _step(y)
    return x[0], x[1], y[1]


def _step(state: tuple[int, int]) -> tuple[int, int]:
    a, b = state
    return (a + b) % 2**32, (a + 2 * b) % 2**32
