"""The vector store, put together from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from langchain_core.embeddings import Embeddings

from vecgate.langchain.asynchronous import AsynchronousStore
from vecgate.langchain.blocking import BlockingStore


class VecgateVectorStore(BlockingStore, AsynchronousStore):
    """Documents in a collection of a vecgate server, as LangChain's vector store.

    Without `embedding` the server encodes documents and queries with the collection's model; with one the collection
    holds the vectors that it makes. Metadata keeps its types; nested values are kept, and filters reach into them by path.

        store = VecgateVectorStore("docs", target="localhost:50051")
        store.add_texts(["The cat sat on the mat."], [{"year": 2024}])
        store.similarity_search("Where is the cat?", filter={"year": {"$gte": 2020}})
        retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "filter": 'lang = "en"'})

    Making one sends nothing.

    Args:
        collection: its name; it is made at the first write, if it does not exist.
        embedding: makes the vectors, and the collection holds raw vectors; None: the server encodes with `model`.
        target: host:port of the server.
        namespace: a partition of the collection.
        model: of a collection that is made; None: the server's default model.
        metric: of a collection that is made: "cosine", "dot" or "euclidean".
        backend: of a collection that is made; None: the server's default.
        index: of a collection that is made; None: the backend chooses.
        create_collection: False: a collection that does not exist is an error, also for reads.
        truncation: of text longer than the server's model reads: "error" or "truncate".
        relevance_score_fn: score → relevance from 0 to 1; None: by the collection's metric.
        api_key: for a server that asks for one; never shown.
        connection: further arguments of vecgate.Client, such as deadlines.

    Raises:
        InvalidArgumentError: the target is no address.
        ValueError: both `embedding` and `model` are given.
    """

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add texts to it.

        Args:
            texts: what to store.
            embedding: None: the server encodes.
            metadatas: one a text.
            ids: one a text; None: new UUIDs.
            kwargs: of the store: collection, target, namespace and so on.
        """
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make a store and add texts to it; as from_texts."""
        store = cls(embedding=embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store
