"""Texts in and embeddings out, apart from the calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecgate.errors import AbortedError, InvalidArgumentError
from vecgate.results import Embeddings
from vecgate.v1.encode_pb2 import EncodeResponse
from vecgate.wire.outcomes import model_ref_from, timings_from, timings_sum
from vecgate.wire.values import vector_from


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list.

    Raises:
        InvalidArgumentError: a single string, no text at all, or something that is not Unicode text, at its path.
    """
    if isinstance(texts, str):
        raise InvalidArgumentError.at("texts", "expected a sequence of texts, got one string; write [text]")
    checked = list(texts)
    if not checked:
        raise InvalidArgumentError.at("texts", "must not be empty")
    for index, text in enumerate(checked):
        if not isinstance(text, str):
            raise InvalidArgumentError.at(f"texts[{index}]", f"a text is a string, this is {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError.at(
                f"texts[{index}]", f"not Unicode text: a lone surrogate at character {error.start}"
            ) from error
    return checked


def embeddings_from(responses: Sequence[EncodeResponse]) -> Embeddings:
    """Join the answers to one or more requests, in order.

    Raises:
        AbortedError: MODEL_CHANGED: they came from different models, as when the server was replaced in between.
    """
    models = {model_ref_from(response.model) for response in responses}
    if len(models) != 1:
        raise AbortedError(
            "the server changed its model in the middle of the texts; encode again", reason="MODEL_CHANGED"
        )
    embeddings = [embedding for response in responses for embedding in response.embeddings]
    return Embeddings(
        vectors=np.stack([vector_from(embedding.vector) for embedding in embeddings]),
        tokens=np.array([embedding.encoded.tokens for embedding in embeddings], dtype=np.int64),
        truncated=np.array([embedding.encoded.truncated for embedding in embeddings], dtype=np.bool_),
        model=models.pop(),
        timings=timings_sum(timings_from(response.timings) for response in responses),
    )
