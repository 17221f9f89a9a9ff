"""The document store's blocking methods; asynchronous.py has their twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy

from vecgate.haystack.blocking_reading import BlockingReading
from vecgate.haystack.documents import documents_from
from vecgate.haystack.filter_translation import StoreFilter, Translation, translate_selection
from vecgate.haystack.metadata import update_of
from vecgate.haystack.store_errors import as_haystack_errors
from vecgate.haystack.writing import (
    MODES,
    and_composite,
    and_plain,
    checked,
    count_of_written,
    ids_that_must_be_new,
    records_of,
    refuse_stored,
    updates_of,
)
from vecgate.records import IDS_ONLY, Query, Rerank
from vecgate.store_clients import id_chunks


class BlockingStore(BlockingReading):
    """Every method as it is called from a thread.

    What goes wrong is a FilterError, a DuplicateDocumentError or a DocumentStoreError; its cause is the VecgateError.
    """

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Store documents.

        Args:
            documents: any number; they are not changed.
            policy: what to do with an id that is stored already. FAIL, and NONE: write nothing. SKIP: leave it as it
                is. OVERWRITE: replace it.

        Returns:
            How many were written.

        Raises:
            ValueError: not a list of documents.
            DuplicateDocumentError: under FAIL, an id is stored already.
            DocumentStoreError: a document was refused; the others were written.
        """
        listed = checked(documents)
        new = ids_that_must_be_new(listed, policy)
        if not listed:
            return 0
        with as_haystack_errors():
            records = records_of(listed, self._collection.made())
            client = self._clients.blocking
            for chunk in id_chunks(new):
                refuse_stored(client.get(self.collection, chunk, fields=IDS_ONLY, **self._where))
            result = client.upsert(
                self.collection, records, mode=MODES[policy], truncation=self._truncation, namespace=self.namespace
            )
        return count_of_written(self._collection.noted(result), policy)

    def delete_documents(self, document_ids: Sequence[str]) -> None:
        """Delete the documents with these ids; those not stored are no error."""
        with as_haystack_errors():
            if self._collection.existing() is not None:
                self._delete_ids(document_ids)

    def delete_all_documents(self, *, recreate_collection: bool = False) -> None:
        """Delete every document of the namespace.

        Args:
            recreate_collection: delete the collection, with every namespace in it, and make it anew.
        """
        with as_haystack_errors():
            if recreate_collection:
                self._collection.deleted()
                self._collection.made()
            elif self._collection.existing() is not None:
                self._delete(all=True)

    def delete_by_filter(self, filters: StoreFilter) -> int:
        """Delete the documents that match; return how many."""
        translation = translate_selection(filters)
        with as_haystack_errors():
            if self._collection.existing() is None:
                return 0
            if not translation.exact:
                return self._delete_ids([record.id for record in self._records(translation, filters)])
            return self._delete(filter=translation.necessary, all=translation.necessary is None)

    def update_by_filter(self, filters: StoreFilter, meta: Mapping[str, Any]) -> int:
        """Set fields of meta of the documents that match; the others stay, and so do content and embedding.

        Documents with lists or dictionaries in meta are read and changed one by one; another writer's change to their meta
        in between may be lost.

        Args:
            filters: as in filter_documents.
            meta: name → value; a None removes the field.

        Returns:
            How many documents match.
        """
        if not meta:
            return self.count_documents_by_filter(filters)
        translation = translate_selection(filters)
        with as_haystack_errors():
            setting, gone = update_of(meta, None)
            if self._collection.existing() is None:
                return 0
            alike = 0
            if translation.exact:
                different = self._records(Translation(and_composite(translation.necessary), exact=True), filters)
                alike = self._update(filter=and_plain(translation.necessary), set=setting, remove=gone)
            else:
                different = self._records(translation, filters)
            for ids, set_, remove in updates_of(meta, different):
                for chunk in id_chunks(ids):
                    self._update(ids=chunk, set=set_, remove=remove)
            return alike + len(different)

    def embedding_retrieval(
        self,
        query_embedding: Sequence[float],
        *,
        filters: StoreFilter | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
    ) -> list[Document]:
        """Find the documents nearest to an embedding; those without one are not found.

        Args:
            query_embedding: of the query.
            filters: about meta alone.
            top_k: how many at most.
            score_threshold: only documents with at least this score; higher is nearer.
            return_embedding: whether the documents have their embeddings.
        """
        options = self._search_options(filters, top_k, score_threshold, return_embedding=return_embedding)
        return self._search(query_embedding, options)

    def text_retrieval(
        self,
        query: str,
        *,
        filters: StoreFilter | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        rerank: Rerank | None = None,
    ) -> list[Document]:
        """Find the documents nearest to a text, which the server encodes; as embedding_retrieval.

        Args:
            query: what to search with.
            filters: about meta alone.
            top_k: how many at most.
            score_threshold: only documents with at least this score; higher is nearer.
            return_embedding: whether the documents have their embeddings.
            rerank: score the first matches again; the documents' scores are then the cross-encoder's.
        """
        options = self._search_options(filters, top_k, score_threshold, return_embedding=return_embedding)
        return self._search(query, {**options, "rerank": rerank})

    def close(self) -> None:
        """Close the connection that the blocking methods opened. A later call opens another."""
        self._clients.close()

    def _search(self, query: Query, options: dict[str, Any]) -> list[Document]:
        with as_haystack_errors():
            if self._collection.existing() is None:
                return []
            return documents_from(self._clients.blocking.search(self.collection, query, **options))

    def _delete(self, **selection: Any) -> int:
        deletion = self._clients.blocking.delete(self.collection, namespace=self.namespace, **selection)
        return self._collection.noted(deletion).count

    def _delete_ids(self, ids: Sequence[str]) -> int:
        return sum(self._delete(ids=chunk) for chunk in id_chunks(ids))

    def _update(self, **change: Any) -> int:
        update = self._clients.blocking.update_metadata(self.collection, namespace=self.namespace, **change)
        return self._collection.noted(update).count
