"""Vectors cut to their first components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vecgate_server.encoders.base import EncodeTimings, Encoding, LongText, ModelDescription, Role
from vecgate_server.encoders.shortened_vectors import ShortenedEncoder, cut, shortened

MODEL = ModelDescription(
    "m", "sha256:aa", 4, 8, "q: ", "", normalized=True, runtime="none", source="test", matryoshka_dimensions=(1, 2)
)
WHOLE = np.array([[3, 4, 5, 6], [0, 0, 1, 0], [np.nan] * 4, [3e-30, 4e-30, 1, 0]], np.float32)


class WholeEncoder:
    """Gives the rows of WHOLE; keeps what it was asked."""

    description = MODEL

    def __init__(self) -> None:
        self.asked: tuple[Sequence[str], Role, LongText] | None = None

    async def encode(self, texts: Sequence[str], role: Role, *, long_text: LongText = LongText.TRUNCATE) -> Encoding:
        self.asked = (texts, role, long_text)
        yes = np.ones(len(texts), np.bool_)
        return Encoding(WHOLE[: len(texts)], np.arange(len(texts), dtype=np.int32), yes, yes, EncodeTimings(1, 2, 3))


def test_the_first_components_have_length_1_again_and_zeros_stay_zeros() -> None:
    kept = cut(WHOLE, 2, normalized=True)
    expected = np.array([[0.6, 0.8], [0, 0], [np.nan, np.nan], [0.6, 0.8]], np.float32)
    np.testing.assert_allclose(kept, expected, rtol=1e-6)
    assert kept.dtype == np.float32
    assert kept.flags.c_contiguous
    assert kept.base is None


def test_vectors_of_a_model_that_does_not_normalise_are_only_cut() -> None:
    assert np.array_equal(cut(WHOLE, 2, normalized=False), WHOLE[:, :2], equal_nan=True)


def test_each_length_has_a_fingerprint_of_its_own() -> None:
    fingerprints = {shortened(MODEL, dimension).fingerprint for dimension in (1, 2, 4)}
    assert len(fingerprints) == 3
    assert all(each.startswith("sha256:") for each in fingerprints)
    assert shortened(MODEL, 4) is MODEL
    # Collections remember it: it must not change between versions.
    assert shortened(MODEL, 2).fingerprint == FINGERPRINT_OF_TWO


FINGERPRINT_OF_TWO = "sha256:134a80989d9f4a8be435dd85215a1696f3bcbc15de8f9bac67abab7254bdbbd0"


def test_a_shortened_model_is_described_as_such() -> None:
    model = shortened(MODEL, 2)
    assert (model.name, model.dimension, model.matryoshka_dimensions, model.query_prompt) == ("m", 2, (1,), "q: ")


async def test_a_shortened_encoder_passes_on_all_but_the_vectors() -> None:
    whole = WholeEncoder()
    encoder = ShortenedEncoder(whole, 2)
    encoding = await encoder.encode(["a"], Role.QUERY, long_text=LongText.REFUSE)
    assert whole.asked == (["a"], Role.QUERY, LongText.REFUSE)
    assert encoding.vectors.tolist() == [pytest.approx([0.6, 0.8])]
    assert (encoding.tokens.tolist(), encoding.truncated.tolist(), encoding.reused.tolist()) == ([0], [True], [True])
    assert encoding.timings == EncodeTimings(1, 2, 3)
    assert encoder.description == shortened(MODEL, 2)
