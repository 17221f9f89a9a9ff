"""Haystack's own standard tests, unmodified but for the overrides that they ask for.

- test_write_documents and its asynchronous twin raise NotImplementedError until a store says what it does without a policy.
- assert_documents_are_equal: the server returns documents in an order of its own, and embeddings are float32, while
  the suite's are Python's 64-bit floats. Documents are paired by id, everything but the embeddings must be equal, and those
  must be the float32 of what was written.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing.document_store import (
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    DocumentStoreBaseExtendedTests,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldsInfoTest,
    GetMetadataFieldUniqueValuesTest,
)
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    CountUniqueMetadataByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    GetMetadataFieldMinMaxAsyncTest,
    GetMetadataFieldsInfoAsyncTest,
    GetMetadataFieldUniqueValuesAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
)

from vecgate.haystack import VecgateDocumentStore


class PairedById:
    """The override of assert_documents_are_equal."""

    def assert_documents_are_equal(self, received: list[Document], expected: list[Document]) -> None:
        got, wanted = ({document.id: document for document in documents} for documents in (received, expected))
        assert len(received) == len(expected)
        assert got.keys() == wanted.keys()
        for id_, document in wanted.items():
            assert replace(got[id_], embedding=None) == replace(document, embedding=None)
            assert (got[id_].embedding is None) == (document.embedding is None)
            if document.embedding is not None:
                assert got[id_].embedding == np.float32(document.embedding).tolist()


class TestDocumentStore(
    PairedById,
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    GetMetadataFieldsInfoTest,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldUniqueValuesTest,
    DocumentStoreBaseExtendedTests,
):
    @pytest.fixture
    def document_store(self, document_store: VecgateDocumentStore) -> VecgateDocumentStore:
        return document_store

    def test_write_documents(self, document_store: VecgateDocumentStore) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestDocumentStoreAsync(
    PairedById,
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    CountUniqueMetadataByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    GetMetadataFieldMinMaxAsyncTest,
    GetMetadataFieldsInfoAsyncTest,
    GetMetadataFieldUniqueValuesAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: VecgateDocumentStore) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])
        self.assert_documents_are_equal(await document_store.filter_documents_async(), [document])
