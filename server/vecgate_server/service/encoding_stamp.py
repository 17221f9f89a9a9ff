"""The encoding stamp: what the server keeps beside a vector that it encoded, to tell later whether the vector can be taken again.

22 bytes, little-endian and without padding:

    version    uint8: 1
    truncated  uint8: 1 if the text was longer than the model reads, 0 otherwise
    tokens     uint32: tokens that the model read
    digest     BLAKE2b-128 of: the fields before it; the lengths in bytes of fingerprint, text and vector, uint64 each; the
               fingerprint of the model in ASCII, the text in UTF-8, the vector in float32

So a stamp fits one text, one model and one vector. One of another version, a damaged one, or one beside another vector fits nothing, and
the text is encoded again. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

from vecgate_backends.records import FloatVector

VERSION = 1
_FIELDS = struct.Struct("<BBI")
_LENGTHS = struct.Struct("<QQQ")
_DIGEST_BYTES = 16
STAMP_BYTES = _FIELDS.size + _DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class TextReading:
    """How a model read a text: tokens, special tokens and prompt included, and whether the text was longer than it reads."""

    tokens: int
    truncated: bool


def write_stamp(reading: TextReading, fingerprint: str, text: str, vector: FloatVector) -> bytes:
    """Return the stamp of a vector of shape (dimension,) that the model of this fingerprint made of this text."""
    fields = _FIELDS.pack(VERSION, reading.truncated, reading.tokens)
    return fields + _digest(fields, fingerprint, text, vector)


def read_stamp(stamp: bytes, fingerprint: str, text: str, vector: FloatVector) -> TextReading | None:
    """Return how the text was read if this stamp is that of text, model and vector; None if it is not."""
    if len(stamp) != STAMP_BYTES or stamp[0] != VERSION:
        return None
    fields, digest = stamp[: _FIELDS.size], stamp[_FIELDS.size :]
    if digest != _digest(fields, fingerprint, text, vector):
        return None
    _, truncated, tokens = _FIELDS.unpack(fields)
    return TextReading(tokens, bool(truncated))


def _digest(fields: bytes, fingerprint: str, text: str, vector: FloatVector) -> bytes:
    parts = fingerprint.encode(), text.encode(), vector.astype("<f4", copy=False).tobytes()
    digest = blake2b(fields, digest_size=_DIGEST_BYTES)
    digest.update(_LENGTHS.pack(*map(len, parts)))
    for part in parts:
        digest.update(part)
    return digest.digest()
