"""What a vector store knows: its collection, how texts become vectors, and how to reach the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from vecgate.channel import DEFAULT_TARGET
from vecgate.errors import FailedPreconditionError
from vecgate.langchain.credentials import SecretText, plain_key
from vecgate.langchain.documents import document_from
from vecgate.langchain.filters import StoreFilter, store_filter
from vecgate.langchain.ranking import RELEVANCE, diverse_order
from vecgate.records import Fields, IndexConfig, Metric, Truncation
from vecgate.results import Collection
from vecgate.search_results import SearchResult
from vecgate.store_clients import StoreClients
from vecgate.store_collection import StoreCollection

DEFAULT_COLLECTION = "langchain"


class StoreState(VectorStore):
    """The part of the vector store that is neither blocking nor asynchronous."""

    def __init__(
        self,
        collection: str = DEFAULT_COLLECTION,
        embedding: Embeddings | None = None,
        *,
        target: str = DEFAULT_TARGET,
        namespace: str = "",
        model: str | None = None,
        metric: Metric = "cosine",
        backend: str | None = None,
        index: IndexConfig | None = None,
        create_collection: bool = True,
        truncation: Truncation = "error",
        relevance_score_fn: Callable[[float], float] | None = None,
        api_key: str | SecretText | None = None,
        **connection: Any,
    ) -> None:
        if embedding is not None and model is not None:
            raise ValueError("give either embedding, which makes the vectors, or model, with which the server does")
        self.namespace = namespace
        self.target = target
        self._embedding = embedding
        self._metric: Metric = metric
        self._truncation = truncation
        self._relevance = relevance_score_fn
        self._clients = StoreClients(target, {"api_key": plain_key(api_key), **connection})
        settings = {"model": model, "metric": metric, "backend": backend, "index": index}
        self._collection = StoreCollection(
            self._clients, collection, settings, create=create_collection, check=self._check
        )

    def __repr__(self) -> str:
        encoder = "" if self._embedding is None else f", embedding={type(self._embedding).__name__}(…)"
        return (
            f"{type(self).__name__}({self.collection!r}, target={self.target!r}, namespace={self.namespace!r}{encoder})"
        )

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._collection.name

    @property
    def embeddings(self) -> Embeddings | None:
        """What makes the vectors; None: the server."""
        return self._embedding

    def _check(self, found: Collection) -> None:
        """Refuse a collection whose vectors do not come from where this store's do.

        Raises:
            FailedPreconditionError: they do not.
        """
        if self._embedding is not None and found.model is not None:
            raise FailedPreconditionError(
                f"collection {found.name!r} is encoded by the server with {found.model.name!r}: leave out embedding, or use "
                "another collection",
                reason="COLLECTION_BOUND",
            )
        if self._embedding is None and found.model is None:
            raise FailedPreconditionError(
                f"collection {found.name!r} holds raw vectors: give the embedding that makes them, or use another collection",
                reason="COLLECTION_UNBOUND",
            )

    @property
    def _reading(self) -> dict[str, Any]:
        """The arguments of every read."""
        return {"namespace": self.namespace, "consistency_token": self._collection.token}

    def _options(self, k: int, given: StoreFilter | None, further: dict[str, Any]) -> dict[str, Any]:
        """Put the arguments of a search together; what is no option of a search is refused by the client."""
        return {"top_k": k, "filter": store_filter(given), **self._reading, **further}

    def _diverse_options(
        self, k: int, fetch_k: int, given: StoreFilter | None, further: dict[str, Any]
    ) -> dict[str, Any]:
        return self._options(max(k, fetch_k), given, {"fields": Fields(vector=True), **further})

    def _diverse(self, result: SearchResult | None, k: int, lambda_mult: float) -> list[Document]:
        """Choose documents among the matches, which carry their vectors."""
        if not result or self._collection.known is None:
            return []
        vectors = np.stack([match.vector for match in result.matches if match.vector is not None])
        scores = [match.score for match in result]
        order = diverse_order(scores, vectors, self._collection.known.metric, k=k, lambda_mult=lambda_mult)
        return [document_from(result.matches[place]) for place in order]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Choose score → relevance; LangChain asks before the first search, so the metric is looked up later."""

        def by_metric(score: float) -> float:
            known = self._collection.known
            return RELEVANCE[known.metric if known else self._metric](score)

        return self._relevance or by_metric
