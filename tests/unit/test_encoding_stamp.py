"""An encoding stamp fits one text, one model and one vector; what does not fit is encoded again."""

from __future__ import annotations

import struct
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_server.service.encoding_stamp import STAMP_BYTES, TextReading, read_stamp, write_stamp

FINGERPRINT = "sha256:" + "ab" * 32
VECTOR = np.array([0.5, -0.0, 3.0], np.float32)
READING = TextReading(7, truncated=True)
STAMP = write_stamp(READING, FINGERPRINT, "naïve", VECTOR)


@given(st.text(), st.integers(0, 2**32 - 1), st.booleans(), st.lists(st.floats(width=32), min_size=1))
def test_a_stamp_tells_how_its_text_was_read(text: str, tokens: int, truncated: bool, numbers: list[float]) -> None:
    reading, vector = TextReading(tokens, truncated), np.array(numbers, np.float32)
    stamp = write_stamp(reading, FINGERPRINT, text, vector)
    assert len(stamp) == STAMP_BYTES
    assert read_stamp(stamp, FINGERPRINT, text, vector) == reading


@pytest.mark.parametrize(
    ("fingerprint", "text", "vector"),
    [
        ("sha256:" + "ab" * 31 + "ac", "naïve", VECTOR),
        (FINGERPRINT, "naive", VECTOR),
        (FINGERPRINT, "naïve ", VECTOR),
        (FINGERPRINT, "", VECTOR),
        (FINGERPRINT[:-1], "bnaïve", VECTOR),
        (FINGERPRINT, "naïve", np.array([0.5, 0.0, 3.0], np.float32)),
        (FINGERPRINT, "naïve", VECTOR[:2]),
        (FINGERPRINT, "naïve", VECTOR[[2, 1, 0]]),
    ],
)
def test_a_stamp_fits_no_other_text_model_or_vector(fingerprint: str, text: str, vector: np.ndarray) -> None:
    assert read_stamp(STAMP, FINGERPRINT, "naïve", VECTOR) == READING
    assert read_stamp(STAMP, fingerprint, text, vector) is None


@pytest.mark.parametrize("bit", range(8 * STAMP_BYTES))
def test_a_stamp_with_a_flipped_bit_fits_nothing(bit: int) -> None:
    damaged = bytearray(STAMP)
    damaged[bit // 8] ^= 1 << bit % 8
    assert read_stamp(bytes(damaged), FINGERPRINT, "naïve", VECTOR) is None


@pytest.mark.parametrize("stamp", [b"", b"\x01", STAMP[:-1], STAMP + b"\x00", b"\x02" + STAMP[1:]])
def test_what_is_no_stamp_of_this_version_fits_nothing(stamp: bytes) -> None:
    assert read_stamp(stamp, FINGERPRINT, "naïve", VECTOR) is None


def test_the_layout_is_that_of_stored_stamps() -> None:
    fields = struct.pack("<BBI", 1, 1, 7)
    text, vector = "naïve".encode(), struct.pack("<3f", 0.5, -0.0, 3.0)
    lengths = struct.pack("<3Q", len(FINGERPRINT), len(text), len(vector))
    contents = fields + lengths + FINGERPRINT.encode() + text + vector
    assert fields + blake2b(contents, digest_size=16).digest() == STAMP
