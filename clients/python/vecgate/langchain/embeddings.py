"""The server's models as LangChain embeddings."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from vecgate.channel import DEFAULT_TARGET
from vecgate.langchain.credentials import SecretText, plain_key
from vecgate.records import Truncation
from vecgate.store_clients import StoreClients


class VecgateEmbeddings(Embeddings):
    """Embeddings made by a model of the server; queries and documents each with the prompt the model was trained with.

    A VecgateVectorStore does not need it: without an embedding object its server encodes. It serves other stores, splitters
    and evaluators.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        target: str = DEFAULT_TARGET,
        dimensions: int | None = None,
        truncation: Truncation = "truncate",
        api_key: str | SecretText | None = None,
        **connection: Any,
    ) -> None:
        """Remember what to encode with; nothing is sent.

        Args:
            model: None: the server's default model.
            target: host:port of the server.
            dimensions: how many components vectors are cut to, for a model that allows it (Matryoshka); None: all.
            truncation: of text longer than the model reads: "truncate" or "error".
            api_key: for a server that asks for one; never shown.
            connection: further arguments of vecgate.Client, such as deadlines.

        Raises:
            InvalidArgumentError: the target is no address.
        """
        self.model = model
        self.target = target
        self.dimensions = dimensions
        self.truncation = truncation
        self._clients = StoreClients(target, {"api_key": plain_key(api_key), **connection})

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, target={self.target!r}, dimensions={self.dimensions!r})"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode what is to be found.

        Args:
            texts: any number, also none.

        Returns:
            A vector a text.

        Raises:
            VecgateError: as Client.encode.
        """
        if not texts:
            return []
        return _lists(self._clients.blocking.encode(texts, "document", **self._choices()).vectors)

    def embed_query(self, text: str) -> list[float]:
        """Encode what to search with.

        Args:
            text: the query.

        Raises:
            VecgateError: as Client.encode.
        """
        return _lists(self._clients.blocking.encode([text], "query", **self._choices()).vectors)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Encode what is to be found; as embed_documents."""
        if not texts:
            return []
        return _lists((await self._clients.asynchronous.encode(texts, "document", **self._choices())).vectors)

    async def aembed_query(self, text: str) -> list[float]:
        """Encode what to search with; as embed_query."""
        return _lists((await self._clients.asynchronous.encode([text], "query", **self._choices())).vectors)[0]

    def close(self) -> None:
        """Close the connection that the blocking methods opened. A later call opens another."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections that this event loop's calls and the blocking methods opened."""
        await self._clients.aclose()

    def _choices(self) -> dict[str, Any]:
        return {"model": self.model, "dimensions": self.dimensions, "truncation": self.truncation}


def _lists(vectors: Any) -> list[list[float]]:
    rows: list[list[float]] = vectors.tolist()
    return rows
