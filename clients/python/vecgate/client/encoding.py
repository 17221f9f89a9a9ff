# Generated from vecgate/aio/encoding.py by clients/python/generate_client.py; edit that file.
"""Turning texts into vectors, and scoring them against a query."""

from __future__ import annotations

from collections.abc import Sequence

from vecgate.batching import batch_bounds, batches
from vecgate.client.connection import Connected
from vecgate.encodings import check_text, check_texts, embeddings_from, pair_scores_from
from vecgate.records import Role, Truncation
from vecgate.results import Embeddings, PairScores
from vecgate.v1.encode_pb2 import EncodeRequest, EncodeResponse
from vecgate.v1.model_pb2 import RerankRequest, RerankResponse
from vecgate.wire.choices import ROLES, TRUNCATIONS, choose
from vecgate.wire.values import check_dimension


class Encoding(Connected):
    """The client's methods about texts that are not stored.

    >>> (client.encode(["Where is the kitten?"], "query")).vectors.shape
    (1, 384)
    """

    def encode(
        self,
        texts: Sequence[str],
        role: Role = "document",
        *,
        model: str | None = None,
        dimensions: int | None = None,
        truncation: Truncation = "truncate",
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors and store nothing.

        Args:
            texts: at least one, any number; empty text is text.
            role: "document" for what is to be found, "query" for what to search with: models may treat them differently.
            model: None: the server's default model.
            dimensions: how many components vectors are cut to, for a model that was trained for it (Matryoshka); None: all.
            truncation: of text longer than the model reads: "truncate" (told in the result) or "error".
            batch_size: texts of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Raises:
            InvalidArgumentError: no texts, something else than texts, or, with truncation="error", TEXT_TOO_LONG.
            NotFoundError: MODEL_NOT_FOUND.
            UnimplementedError: DIMENSIONS_UNSUPPORTED; ModelInfo.matryoshka_dimensions tells the lengths there are.
        """
        checked = check_texts(texts)
        check_dimension(dimensions, "dimensions")
        role_number = choose(ROLES, role, "role")
        policy = choose(TRUNCATIONS, truncation, "truncation")
        bounds = batch_bounds(self._connection.limits(), batch_size)
        responses: list[EncodeResponse] = []
        for batch in batches(checked, lambda text: len(text.encode()), bounds):
            request = EncodeRequest(
                texts=batch, role=role_number, model=model, dimensions=dimensions, truncation=policy
            )
            response = self._connection.bulk(self._connection.stub.Encode, request, timeout, repeatable=True)
            responses.append(response)
        return embeddings_from(responses)

    def rerank(
        self,
        model: str,
        query: str,
        texts: Sequence[str],
        *,
        truncation: Truncation = "truncate",
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> PairScores:
        """Score texts against a query with a cross-encoder.

        Any number of texts is cut into requests of a size the server takes.

        Args:
            model: the cross-encoder.
            query: what texts are scored against.
            texts: at least one; empty text is text.
            truncation: of a text that is, with the query, longer than the model reads: "truncate" (told in the result) or
                "error".
            batch_size: texts of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Raises:
            InvalidArgumentError: no texts, something else than texts; MODEL_KIND: the model is no cross-encoder;
                TEXT_TOO_LONG with truncation="error".
            NotFoundError: MODEL_NOT_FOUND.
        """
        check_text(query, "query")
        checked = check_texts(texts)
        policy = choose(TRUNCATIONS, truncation, "truncation")
        bounds = batch_bounds(self._connection.limits(), batch_size).beside(len(query.encode()))
        responses: list[RerankResponse] = []
        for batch in batches(checked, lambda text: len(text.encode()), bounds):
            request = RerankRequest(model=model, query=query, texts=batch, truncation=policy)
            responses.append(self._connection.bulk(self._connection.stub.Rerank, request, timeout, repeatable=True))
        return pair_scores_from(responses)
