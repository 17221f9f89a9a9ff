"""The vector store's asynchronous methods, over a connection of the running event loop; blocking.py documents them."""

# ruff: noqa: A002  # filter is the word of LangChain and of the API

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document

from vecgate.langchain.documents import (
    document_from,
    documents_of,
    raise_for_failures,
    records_of,
    with_ids,
    with_vectors,
)
from vecgate.langchain.filters import StoreFilter, store_filter
from vecgate.langchain.store_state import StoreState
from vecgate.records import Query, Record
from vecgate.search_results import SearchResult
from vecgate.store_clients import id_chunks


class AsynchronousStore(StoreState):
    """Every method as it is called from a coroutine."""

    async def aadd_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Store documents; as add_documents."""
        chosen = with_ids(documents, ids)
        records = records_of(documents, chosen)
        if not records:
            return []
        if self._embedding is None:
            await self._collection.amade()
            await self._aupsert(records, **kwargs)
            return chosen
        vectors = await self._embedding.aembed_documents([document.page_content for document in documents])
        await self._collection.amade(dimension=len(vectors[0]))
        await self._aupsert(with_vectors(records, vectors), **kwargs)
        return chosen

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts with their metadata; as add_documents."""
        return await self.aadd_documents(documents_of(texts, metadatas), ids=ids, **kwargs)

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: StoreFilter | None = None, **kwargs: Any
    ) -> bool:
        """Delete documents; as delete."""
        if ids is not None and filter is not None:
            raise ValueError("give either ids or a filter")
        if await self._collection.aexisting() is None:
            return True
        client, where = self._clients.asynchronous, {"namespace": self.namespace, **kwargs}
        if ids is None:
            matching = store_filter(filter)
            self._collection.noted(await client.delete(self.collection, filter=matching, all=matching is None, **where))
            return True
        for chunk in id_chunks(ids):
            self._collection.noted(await client.delete(self.collection, ids=chunk, **where))
        return True

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Read documents; as get_by_ids."""
        if await self._collection.aexisting() is None:
            return []
        client = self._clients.asynchronous
        return [
            document_from(record)
            for chunk in id_chunks(ids)
            for record in await client.get(self.collection, chunk, **self._reading)
        ]

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Find the nearest documents; as similarity_search."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, filter, **kwargs)]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Find the nearest documents with their scores; as similarity_search_with_score."""
        found = await self._asearch(await self._aquery(query), self._options(k, filter, kwargs))
        return [(document_from(match), match.score) for match in found or ()]

    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Find the documents nearest to a vector; as similarity_search_by_vector."""
        found = await self._asearch(embedding, self._options(k, filter, kwargs))
        return [document_from(match) for match in found or ()]

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: StoreFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Find near documents that differ from one another; as max_marginal_relevance_search."""
        found = await self._asearch(await self._aquery(query), self._diverse_options(k, fetch_k, filter, kwargs))
        return self._diverse(found, k, lambda_mult)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: StoreFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Find documents near to a vector that differ from one another; as max_marginal_relevance_search."""
        found = await self._asearch(embedding, self._diverse_options(k, fetch_k, filter, kwargs))
        return self._diverse(found, k, lambda_mult)

    async def adelete_collection(self) -> None:
        """Delete the collection with everything in it; as delete_collection."""
        await self._collection.adeleted()

    async def aclose(self) -> None:
        """Close the connections that this event loop's calls and the blocking methods opened."""
        await self._clients.aclose()

    async def _aquery(self, text: str) -> Query:
        return text if self._embedding is None else await self._embedding.aembed_query(text)

    async def _asearch(self, query: Query, options: dict[str, Any]) -> SearchResult | None:
        if await self._collection.aexisting() is None:
            return None
        return await self._clients.asynchronous.search(self.collection, query, **options)

    async def _aupsert(self, records: Iterable[Record], **kwargs: Any) -> None:
        written = await self._clients.asynchronous.upsert(
            self.collection, records, namespace=self.namespace, truncation=self._truncation, **kwargs
        )
        raise_for_failures(self._collection.noted(written))
