"""The document store's asynchronous methods, over a connection of the running event loop; blocking.py documents them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy

from vecgate.haystack.asynchronous_reading import AsynchronousReading
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


class AsynchronousStore(AsynchronousReading):
    """Every method as it is called from a coroutine.

    What goes wrong is a FilterError, a DuplicateDocumentError or a DocumentStoreError; its cause is the VecgateError.
    """

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents; as write_documents."""
        listed = checked(documents)
        new = ids_that_must_be_new(listed, policy)
        if not listed:
            return 0
        with as_haystack_errors():
            records = records_of(listed, await self._collection.amade())
            client = self._clients.asynchronous
            for chunk in id_chunks(new):
                refuse_stored(await client.get(self.collection, chunk, fields=IDS_ONLY, **self._where))
            result = await client.upsert(
                self.collection, records, mode=MODES[policy], truncation=self._truncation, namespace=self.namespace
            )
        return count_of_written(self._collection.noted(result), policy)

    async def delete_documents_async(self, document_ids: Sequence[str]) -> None:
        """Delete the documents with these ids; those not stored are no error."""
        with as_haystack_errors():
            if await self._collection.aexisting() is not None:
                await self._delete_ids_async(document_ids)

    async def delete_all_documents_async(self, *, recreate_collection: bool = False) -> None:
        """Delete every document of the namespace; as delete_all_documents."""
        with as_haystack_errors():
            if recreate_collection:
                await self._collection.adeleted()
                await self._collection.amade()
            elif await self._collection.aexisting() is not None:
                await self._delete_async(all=True)

    async def delete_by_filter_async(self, filters: StoreFilter) -> int:
        """Delete the documents that match; return how many."""
        translation = translate_selection(filters)
        with as_haystack_errors():
            if await self._collection.aexisting() is None:
                return 0
            if not translation.exact:
                return await self._delete_ids_async(
                    [record.id for record in await self._records_async(translation, filters)]
                )
            return await self._delete_async(filter=translation.necessary, all=translation.necessary is None)

    async def update_by_filter_async(self, filters: StoreFilter, meta: Mapping[str, Any]) -> int:
        """Set fields of meta of the documents that match; as update_by_filter."""
        if not meta:
            return await self.count_documents_by_filter_async(filters)
        translation = translate_selection(filters)
        with as_haystack_errors():
            setting, gone = update_of(meta, None)
            if await self._collection.aexisting() is None:
                return 0
            alike = 0
            if translation.exact:
                different = await self._records_async(
                    Translation(and_composite(translation.necessary), exact=True), filters
                )
                plain = and_plain(translation.necessary)
                alike = await self._update_async(filter=plain, set=setting, remove=gone)
            else:
                different = await self._records_async(translation, filters)
            for ids, set_, remove in updates_of(meta, different):
                for chunk in id_chunks(ids):
                    await self._update_async(ids=chunk, set=set_, remove=remove)
            return alike + len(different)

    async def embedding_retrieval_async(
        self,
        query_embedding: Sequence[float],
        *,
        filters: StoreFilter | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
    ) -> list[Document]:
        """Find the documents nearest to an embedding; those without one are not found; as embedding_retrieval."""
        options = self._search_options(filters, top_k, score_threshold, return_embedding=return_embedding)
        return await self._search_async(query_embedding, options)

    async def text_retrieval_async(
        self,
        query: str,
        *,
        filters: StoreFilter | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        rerank: Rerank | None = None,
    ) -> list[Document]:
        """Find the documents nearest to a text, which the server encodes; as text_retrieval."""
        options = self._search_options(filters, top_k, score_threshold, return_embedding=return_embedding)
        return await self._search_async(query, {**options, "rerank": rerank})

    async def aclose(self) -> None:
        """Close the connections that this event loop's calls and the blocking methods opened."""
        await self._clients.aclose()

    async def _search_async(self, query: Query, options: dict[str, Any]) -> list[Document]:
        with as_haystack_errors():
            if await self._collection.aexisting() is None:
                return []
            return documents_from(await self._clients.asynchronous.search(self.collection, query, **options))

    async def _delete_async(self, **selection: Any) -> int:
        deletion = await self._clients.asynchronous.delete(self.collection, namespace=self.namespace, **selection)
        return self._collection.noted(deletion).count

    async def _delete_ids_async(self, ids: Sequence[str]) -> int:
        deleted = 0
        for chunk in id_chunks(ids):
            deleted += await self._delete_async(ids=chunk)
        return deleted

    async def _update_async(self, **change: Any) -> int:
        update = await self._clients.asynchronous.update_metadata(self.collection, namespace=self.namespace, **change)
        return self._collection.noted(update).count
