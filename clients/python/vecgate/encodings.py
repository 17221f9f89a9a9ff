"""Texts in, embeddings and scores out, apart from the calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecgate.errors import AbortedError, InvalidArgumentError
from vecgate.results import Embeddings, ModelRef, PairScores
from vecgate.v1.encode_pb2 import EncodeResponse
from vecgate.v1.model_pb2 import RerankResponse
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
        check_text(text, f"texts[{index}]")
    return checked


def check_text(text: object, path: str) -> None:
    """Check one text.

    Raises:
        InvalidArgumentError: it is not Unicode text.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError.at(path, f"a text is a string, this is {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError.at(path, f"not Unicode text: a lone surrogate at character {error.start}") from error


def embeddings_from(responses: Sequence[EncodeResponse]) -> Embeddings:
    """Join the answers to one or more requests, in order.

    Raises:
        AbortedError: MODEL_CHANGED: they came from different models, as when the server was replaced in between.
    """
    model = _one_model(responses)
    embeddings = [embedding for response in responses for embedding in response.embeddings]
    return Embeddings(
        vectors=np.stack([vector_from(embedding.vector) for embedding in embeddings]),
        tokens=np.array([embedding.encoded.tokens for embedding in embeddings], dtype=np.int64),
        truncated=np.array([embedding.encoded.truncated for embedding in embeddings], dtype=np.bool_),
        reused=np.array([embedding.encoded.reused for embedding in embeddings], dtype=np.bool_),
        model=model,
        timings=timings_sum(timings_from(response.timings) for response in responses),
    )


def pair_scores_from(responses: Sequence[RerankResponse]) -> PairScores:
    """Join the answers to one or more requests, in order.

    Raises:
        AbortedError: MODEL_CHANGED, as embeddings_from.
    """
    model = _one_model(responses)
    pairs = [encoded for response in responses for encoded in response.encoded]
    return PairScores(
        scores=np.array([score for response in responses for score in response.scores], dtype=np.float32),
        tokens=np.array([pair.tokens for pair in pairs], dtype=np.int64),
        truncated=np.array([pair.truncated for pair in pairs], dtype=np.bool_),
        model=model,
        timings=timings_sum(timings_from(response.timings) for response in responses),
    )


def _one_model(responses: Sequence[EncodeResponse] | Sequence[RerankResponse]) -> ModelRef:
    models = {model_ref_from(response.model) for response in responses}
    if len(models) != 1:
        raise AbortedError(
            "the server changed its model in the middle of the texts; send them again", reason="MODEL_CHANGED"
        )
    return models.pop()
