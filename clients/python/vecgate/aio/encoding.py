"""Turning texts into vectors."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here

from __future__ import annotations

from collections.abc import Sequence

from vecgate.aio.connection import AsyncConnected
from vecgate.batching import batch_bounds, batches
from vecgate.encodings import check_texts, embeddings_from
from vecgate.records import Role, Truncation
from vecgate.results import Embeddings
from vecgate.v1.encode_pb2 import EncodeRequest, EncodeResponse
from vecgate.wire.choices import ROLES, TRUNCATIONS, choose


class AsyncEncoding(AsyncConnected):
    """The client's method about encoding."""

    async def encode(
        self,
        texts: Sequence[str],
        role: Role = "document",
        *,
        model: str | None = None,
        truncation: Truncation = "truncate",
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> Embeddings:
        """Turn texts into vectors and store nothing.

        Any number of texts is cut into requests of a size the server takes.

        Args:
            texts: at least one; empty text is text.
            role: "document" for what is to be found, "query" for what to search with: models may treat them differently.
            model: None: the server's default model.
            truncation: of text longer than the model reads: "truncate" (told in the result) or "error".
            batch_size: texts of one request, at most the server's max_batch; None: the client chooses.
            timeout: seconds for each request.

        Raises:
            InvalidArgumentError: no texts, something else than texts, or, with truncation="error", TEXT_TOO_LONG.
            NotFoundError: MODEL_NOT_FOUND.
        """
        checked = check_texts(texts)
        role_number = choose(ROLES, role, "role")
        policy = choose(TRUNCATIONS, truncation, "truncation")
        bounds = batch_bounds(await self._connection.limits(), batch_size)
        responses: list[EncodeResponse] = []
        for batch in batches(checked, lambda text: len(text.encode()), bounds):
            request = EncodeRequest(texts=batch, role=role_number, model=model, truncation=policy)
            response = await self._connection.bulk(self._connection.stub.Encode, request, timeout)
            responses.append(response)
        return embeddings_from(responses)
