"""The document store's blocking methods that read; asynchronous_reading.py has their twins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class BlockingReading(StoreState):
    """Counting, filtering, and what there is of a field of meta."""

    def count_documents(self) -> int:
        """Count the documents of the namespace."""
        return self.count_documents_by_filter(None)

    def filter_documents(self, filters: StoreFilter | None = None) -> list[Document]:
        """Read the documents that match, in a stable, unspecified order.

        Args:
            filters: Haystack's; or vecgate's, as vecgate.Filter or text. None or empty: all documents.

        Raises:
            FilterError: it is malformed, or compares what cannot be compared.
        """
        translation = translate(filters)
        with as_haystack_errors():
            self._collection.existing()
            wanted = self._gives_embeddings
            records = self._records(translation, filters, vectors=wanted)
            return [document_from(record, return_embedding=wanted) for record in records]

    def count_documents_by_filter(self, filters: StoreFilter | None) -> int:
        """Count the documents that match."""
        translation = translate(filters)
        with as_haystack_errors():
            if self._collection.existing() is None:
                return 0
            if not translation.exact:
                return len(self._records(translation, filters))
            return self._clients.blocking.count(self.collection, filter=translation.necessary, **self._where)

    def count_unique_metadata_by_filter(
        self, filters: StoreFilter | None, metadata_fields: Sequence[str]
    ) -> dict[str, int]:
        """Count the distinct values of fields over the documents that match: name (without "meta.") → how many."""
        with as_haystack_errors():
            return {name: len(self._values(name, filters)) for name in map(field_name, metadata_fields)}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Tell the fields that documents have, each with {"type": …}: keyword, int, float or boolean.

        It reads the meta of every document.
        """
        with as_haystack_errors():
            return types_in(map(document_from, self._records(translate(None), None)))

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Tell the smallest and the largest value of a field, {"min": …, "max": …}; None without values."""
        name = field_name(metadata_field)
        with as_haystack_errors():
            stats = self._stats(name, translate(None))
            if stats is not None and stats.numbers is not None:
                numbers = self._clients.blocking.count(self.collection, filter=is_number(name), **self._where)
                if numbers == stats.present:
                    return {"min": stats.numbers[0], "max": stats.numbers[1]}
            return span_of(self._values(name, None))

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: StoreFilter | None = None,
    ) -> tuple[list[Any], int]:
        """Return a page of the distinct values of a field, in the order of their text, and how many there are in all.

        Args:
            metadata_field: its name, with or without "meta.".
            search_term: only values whose text contains it, in any case.
            from_: how many to leave out.
            size: how many to return at most.
            filters: only over the documents that match.
        """
        with as_haystack_errors():
            return page_of(self._values(field_name(metadata_field), filters), search_term, from_, size)

    def _records(
        self, translation: Translation, filters: StoreFilter | None, *, vectors: bool = False
    ) -> list[StoredRecord]:
        if self._collection.existing() is None:
            return []
        client, ids, how = self._clients.blocking, translation.ids, self._reading(translation, vectors=vectors)
        found: Iterable[StoredRecord]
        if ids is None:
            found = client.list(self.collection, filter=translation.necessary, **how)
        else:
            found = [record for chunk in id_chunks(ids) for record in client.get(self.collection, chunk, **how)]
        return [record for record in found if is_match(record, filters, translation)]

    def _stats(self, name: str, translation: Translation) -> FieldStats | None:
        """Return what the server knows of a field; None: it cannot tell, or the field is a list or a dictionary somewhere."""
        if not translation.exact or self._collection.existing() is None:
            return None
        client, where = self._clients.blocking, self._where
        if client.count(self.collection, filter=composite(translation.necessary, name), **where):
            return None
        limit = client.server_info().limits.max_page_size
        try:
            return client.field_stats(self.collection, name, filter=translation.necessary, limit=limit, **where)
        except UnimplementedError:
            return None

    def _values(self, name: str, filters: StoreFilter | None) -> list[Any]:
        translation = translate(filters)
        stats = self._stats(name, translation)
        told = None if stats is None else values_in(stats)
        if told is not None:
            return told
        return values_of(map(document_from, self._records(translation, filters)), name)
