"""Components of a pipeline that find documents."""

from __future__ import annotations

from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from vecgate.haystack.document_store import VecgateDocumentStore
from vecgate.records import Rerank


class _Retriever:
    """What the two retrievers share: their choices, and how they are written down."""

    def __init__(
        self,
        document_store: VecgateDocumentStore,
        *,
        filters: dict[str, Any] | None,
        top_k: int,
        score_threshold: float | None,
        return_embedding: bool,
        filter_policy: str | FilterPolicy,
    ) -> None:
        if not isinstance(document_store, VecgateDocumentStore):
            raise ValueError(f"expected a VecgateDocumentStore, got {type(document_store).__name__}")  # noqa: TRY004  # as Haystack's own
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.return_embedding = return_embedding
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy

    def _choices(
        self, filters: dict[str, Any] | None, top_k: int | None, score_threshold: float | None
    ) -> dict[str, Any]:
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else top_k,
            "score_threshold": self.score_threshold if score_threshold is None else score_threshold,
            "return_embedding": self.return_embedding,
        }

    def _parameters(self) -> dict[str, Any]:
        return {
            "document_store": self.document_store.to_dict(),
            "filters": self.filters,
            "top_k": self.top_k,
            "score_threshold": self.score_threshold,
            "return_embedding": self.return_embedding,
            "filter_policy": self.filter_policy.value,
        }


@component
class VecgateEmbeddingRetriever(_Retriever):
    """Finds the documents nearest to an embedding, which an embedder of the pipeline makes."""

    def __init__(
        self,
        document_store: VecgateDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        """Remember what to search with.

        Args:
            document_store: where to search.
            filters: about meta alone.
            top_k: how many documents at most.
            score_threshold: only documents with at least this score; higher is nearer.
            return_embedding: whether the documents have their embeddings.
            filter_policy: whether filters of run() replace these or are merged with them.

        Raises:
            ValueError: something else than a VecgateDocumentStore, or `top_k` is not positive.
        """
        _Retriever.__init__(  # the decorator makes another class of this one, which super() does not know
            self,
            document_store,
            filters=filters,
            top_k=top_k,
            score_threshold=score_threshold,
            return_embedding=return_embedding,
            filter_policy=filter_policy,
        )

    def to_dict(self) -> dict[str, Any]:
        """Write the component down for a pipeline."""
        return default_to_dict(self, **self._parameters())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VecgateEmbeddingRetriever:
        """Make the component that to_dict() wrote down."""
        return _from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search.

        Args:
            query_embedding: of the query.
            filters: beside or instead of the component's, by its policy.
            top_k: instead of the component's.
            score_threshold: instead of the component's.
        """
        choices = self._choices(filters, top_k, score_threshold)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, **choices)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search; as run."""
        choices = self._choices(filters, top_k, score_threshold)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, **choices)}


@component
class VecgateTextRetriever(_Retriever):
    """Finds the documents nearest to a text, which the server encodes: no embedder is needed."""

    def __init__(
        self,
        document_store: VecgateDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        rerank_model: str | None = None,
        rerank_depth: int | None = None,
    ) -> None:
        """Remember what to search with.

        Args:
            document_store: where to search.
            filters: about meta alone.
            top_k: how many documents at most.
            score_threshold: only documents with at least this score of the search; higher is nearer.
            return_embedding: whether the documents have their embeddings.
            filter_policy: whether filters of run() replace these or are merged with them.
            rerank_model: a cross-encoder of the server that scores the first matches again; None: no reranking.
            rerank_depth: how many first matches it scores; None: the larger of top_k and 50.

        Raises:
            ValueError: something else than a VecgateDocumentStore, or `top_k` is not positive.
        """
        _Retriever.__init__(  # the decorator makes another class of this one, which super() does not know
            self,
            document_store,
            filters=filters,
            top_k=top_k,
            score_threshold=score_threshold,
            return_embedding=return_embedding,
            filter_policy=filter_policy,
        )
        self.rerank_model = rerank_model
        self.rerank_depth = rerank_depth

    def to_dict(self) -> dict[str, Any]:
        """Write the component down for a pipeline."""
        reranking = {"rerank_model": self.rerank_model, "rerank_depth": self.rerank_depth}
        return default_to_dict(self, **self._parameters(), **reranking)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VecgateTextRetriever:
        """Make the component that to_dict() wrote down."""
        return _from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search.

        Args:
            query: text.
            filters: beside or instead of the component's, by its policy.
            top_k: instead of the component's.
            score_threshold: instead of the component's.
        """
        choices = self._choices(filters, top_k, score_threshold)
        return {"documents": self.document_store.text_retrieval(query, rerank=self._rerank(), **choices)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Search; as run."""
        choices = self._choices(filters, top_k, score_threshold)
        return {"documents": await self.document_store.text_retrieval_async(query, rerank=self._rerank(), **choices)}

    def _rerank(self) -> Rerank | None:
        return None if self.rerank_model is None else Rerank(self.rerank_model, self.rerank_depth)


def _from_dict(cls: Any, data: dict[str, Any]) -> Any:
    store = data["init_parameters"]["document_store"]
    if isinstance(store, dict):
        data["init_parameters"]["document_store"] = VecgateDocumentStore.from_dict(store)
    return default_from_dict(cls, data)
