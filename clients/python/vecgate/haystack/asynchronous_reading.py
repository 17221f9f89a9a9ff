"""The document store's asynchronous methods that read; blocking_reading.py documents them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haystack import Document

from vecgate.errors import UnimplementedError
from vecgate.haystack.documents import document_from, is_match
from vecgate.haystack.field_values import (
    composite,
    field_name,
    is_number,
    page_of,
    span_of,
    types_in,
    values_in,
    values_of,
)
from vecgate.haystack.filter_translation import StoreFilter, Translation, translate
from vecgate.haystack.store_errors import as_haystack_errors
from vecgate.haystack.store_state import StoreState
from vecgate.results import FieldStats, StoredRecord
from vecgate.store_clients import id_chunks


class AsynchronousReading(StoreState):
    """Counting, filtering, and what there is of a field of meta."""

    async def count_documents_async(self) -> int:
        """Count the documents of the namespace."""
        return await self.count_documents_by_filter_async(None)

    async def filter_documents_async(self, filters: StoreFilter | None = None) -> list[Document]:
        """Read the documents that match, in a stable, unspecified order; as filter_documents."""
        translation = translate(filters)
        with as_haystack_errors():
            await self._collection.aexisting()
            wanted = self._gives_embeddings
            records = await self._records_async(translation, filters, vectors=wanted)
            return [document_from(record, return_embedding=wanted) for record in records]

    async def count_documents_by_filter_async(self, filters: StoreFilter | None) -> int:
        """Count the documents that match."""
        translation = translate(filters)
        with as_haystack_errors():
            if await self._collection.aexisting() is None:
                return 0
            if not translation.exact:
                return len(await self._records_async(translation, filters))
            return await self._clients.asynchronous.count(self.collection, filter=translation.necessary, **self._where)

    async def count_unique_metadata_by_filter_async(
        self, filters: StoreFilter | None, metadata_fields: Sequence[str]
    ) -> dict[str, int]:
        """Count the distinct values of fields over the documents that match: name (without "meta.") → how many."""
        with as_haystack_errors():
            return {name: len(await self._values_async(name, filters)) for name in map(field_name, metadata_fields)}

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """Tell the fields that documents have, each with {"type": …}: keyword, int, float or boolean; as get_metadata_fields_info."""
        with as_haystack_errors():
            return types_in(map(document_from, await self._records_async(translate(None), None)))

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """Tell the smallest and the largest value of a field, {"min": …, "max": …}; None without values."""
        name = field_name(metadata_field)
        with as_haystack_errors():
            stats = await self._stats_async(name, translate(None))
            if stats is not None and stats.numbers is not None:
                numbers = await self._clients.asynchronous.count(self.collection, filter=is_number(name), **self._where)
                if numbers == stats.present:
                    return {"min": stats.numbers[0], "max": stats.numbers[1]}
            return span_of(await self._values_async(name, None))

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: StoreFilter | None = None,
    ) -> tuple[list[Any], int]:
        """Return a page of the distinct values of a field, in the order of their text, and how many there are in all; as get_metadata_field_unique_values."""
        with as_haystack_errors():
            return page_of(await self._values_async(field_name(metadata_field), filters), search_term, from_, size)

    async def _records_async(
        self, translation: Translation, filters: StoreFilter | None, *, vectors: bool = False
    ) -> list[StoredRecord]:
        if await self._collection.aexisting() is None:
            return []
        client, ids, how = self._clients.asynchronous, translation.ids, self._reading(translation, vectors=vectors)
        if ids is None:
            found = [record async for record in client.list(self.collection, filter=translation.necessary, **how)]
        else:
            found = [record for chunk in id_chunks(ids) for record in await client.get(self.collection, chunk, **how)]
        return [record for record in found if is_match(record, filters, translation)]

    async def _stats_async(self, name: str, translation: Translation) -> FieldStats | None:
        """Return what the server knows of a field; None: it cannot tell, or the field is a list or a dictionary somewhere."""
        if not translation.exact or await self._collection.aexisting() is None:
            return None
        client, where = self._clients.asynchronous, self._where
        if await client.count(self.collection, filter=composite(translation.necessary, name), **where):
            return None
        limit = (await client.server_info()).limits.max_page_size
        try:
            return await client.field_stats(self.collection, name, filter=translation.necessary, limit=limit, **where)
        except UnimplementedError:
            return None

    async def _values_async(self, name: str, filters: StoreFilter | None) -> list[Any]:
        translation = translate(filters)
        stats = await self._stats_async(name, translation)
        told = None if stats is None else values_in(stats)
        if told is not None:
            return told
        return values_of(map(document_from, await self._records_async(translation, filters)), name)
