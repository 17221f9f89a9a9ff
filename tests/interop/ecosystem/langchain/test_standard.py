"""LangChain's own standard tests, unmodified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from vecgate.langchain import VecgateEmbeddings


class TestServerEncodes(VectorStoreIntegrationTests):
    """The server's model makes the vectors."""

    @pytest.fixture
    def vectorstore(self, make_store: Callable[..., VectorStore]) -> VectorStore:
        return make_store()


class TestGivenEmbeddings(VectorStoreIntegrationTests):
    """The suite's own embeddings make the vectors."""

    @pytest.fixture
    def vectorstore(self, make_store: Callable[..., VectorStore]) -> VectorStore:
        return make_store(self.get_embeddings())


class TestEmbeddings(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _server(self, target: str) -> None:
        self._target = target

    @property
    def embeddings_class(self) -> type[VecgateEmbeddings]:
        return VecgateEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"target": self._target}


class TestEmbeddingsAlone(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[VecgateEmbeddings]:
        return VecgateEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "all-MiniLM-L6-v2"}


class TestRetriever(RetrieversIntegrationTests):
    """The store's as_retriever(); the suite's `k` is the retriever's search_kwargs["k"]."""

    @pytest.fixture(autouse=True)
    def _filled_store(self, make_store: Callable[..., VectorStore]) -> None:
        self._store = make_store()
        self._store.add_texts(["the cat sat", "the dog barked", "rates rose", "it rained"])

    @property
    def retriever_constructor(self) -> Any:
        def construct(k: int = 4) -> BaseRetriever:
            return self._store.as_retriever(search_kwargs={"k": k})

        return construct

    @property
    def retriever_query_example(self) -> str:
        return "Where is the cat?"
