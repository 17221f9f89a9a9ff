"""The vector store's blocking methods; asynchronous.py has their twins."""

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


class BlockingStore(StoreState):
    """Every method as it is called from a thread."""

    def add_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Store documents; one whose id is stored already is replaced.

        Args:
            documents: any number; they are not changed.
            ids: one a document; None: the document's own, or a new UUID.
            kwargs: further arguments of Client.upsert, such as batch_size.

        Returns:
            The ids, in order.

        Raises:
            InvalidArgumentError: metadata that cannot be stored (before anything is sent), or too many or too few ids.
            VecgateError: a document was refused; the others of its request are stored.
        """
        chosen = with_ids(documents, ids)
        records = records_of(documents, chosen)
        if not records:
            return []
        if self._embedding is None:
            self._collection.made()
            self._upsert(records, **kwargs)
            return chosen
        vectors = self._embedding.embed_documents([document.page_content for document in documents])
        self._collection.made(dimension=len(vectors[0]))
        self._upsert(with_vectors(records, vectors), **kwargs)
        return chosen

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts with their metadata; as add_documents."""
        return self.add_documents(documents_of(texts, metadatas), ids=ids, **kwargs)

    def delete(self, ids: Sequence[str] | None = None, *, filter: StoreFilter | None = None, **kwargs: Any) -> bool:
        """Delete documents.

        Args:
            ids: of the documents; those not stored are no error. Neither ids nor a filter: all of the namespace.
            filter: the documents that match.
            kwargs: further arguments of Client.delete, such as timeout.

        Returns:
            True.

        Raises:
            ValueError: both ids and a filter.
        """
        if ids is not None and filter is not None:
            raise ValueError("give either ids or a filter")
        if self._collection.existing() is None:
            return True
        client, where = self._clients.blocking, {"namespace": self.namespace, **kwargs}
        if ids is None:
            matching = store_filter(filter)
            self._collection.noted(client.delete(self.collection, filter=matching, all=matching is None, **where))
            return True
        for chunk in id_chunks(ids):
            self._collection.noted(client.delete(self.collection, ids=chunk, **where))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Read documents, in the order of the ids; those not stored are left out."""
        if self._collection.existing() is None:
            return []
        client = self._clients.blocking
        return [
            document_from(record)
            for chunk in id_chunks(ids)
            for record in client.get(self.collection, chunk, **self._reading)
        ]

    def similarity_search(
        self, query: str, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Find the nearest documents.

        Args:
            query: text.
            k: how many at most.
            filter: {"year": {"$gte": 2000}}, a vecgate.Filter or its text form.
            kwargs: further options of a search: score_threshold (in the scale of scores), exact, ef, rerank, timeout, …
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Find the nearest documents with their scores, higher is nearer; as similarity_search."""
        found = self._search(self._query(query), self._options(k, filter, kwargs))
        return [(document_from(match), match.score) for match in found or ()]

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: StoreFilter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Find the documents nearest to a vector; as similarity_search."""
        found = self._search(embedding, self._options(k, filter, kwargs))
        return [document_from(match) for match in found or ()]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: StoreFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Find near documents that differ from one another, by maximal marginal relevance.

        Args:
            query: text.
            k: how many at most.
            fetch_k: among how many of the nearest to choose.
            lambda_mult: 1: by nearness alone; 0: as different as can be.
            filter: as in similarity_search.
            kwargs: as in similarity_search.
        """
        found = self._search(self._query(query), self._diverse_options(k, fetch_k, filter, kwargs))
        return self._diverse(found, k, lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: StoreFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Find documents near to a vector that differ from one another; as max_marginal_relevance_search."""
        found = self._search(embedding, self._diverse_options(k, fetch_k, filter, kwargs))
        return self._diverse(found, k, lambda_mult)

    def delete_collection(self) -> None:
        """Delete the collection with everything in it, in every namespace; one that does not exist is no error."""
        self._collection.deleted()

    def close(self) -> None:
        """Close the connection that the blocking methods opened. A later call opens another."""
        self._clients.close()

    def _query(self, text: str) -> Query:
        return text if self._embedding is None else self._embedding.embed_query(text)

    def _search(self, query: Query, options: dict[str, Any]) -> SearchResult | None:
        if self._collection.existing() is None:
            return None
        return self._clients.blocking.search(self.collection, query, **options)

    def _upsert(self, records: Iterable[Record], **kwargs: Any) -> None:
        written = self._clients.blocking.upsert(
            self.collection, records, namespace=self.namespace, truncation=self._truncation, **kwargs
        )
        raise_for_failures(self._collection.noted(written))
