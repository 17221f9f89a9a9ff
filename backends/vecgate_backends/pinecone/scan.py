"""Reading the records that match a filter one by one, for what Pinecone cannot do itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from vecgate_backends.errors import ExhaustedError
from vecgate_backends.filters import Filter, matches
from vecgate_backends.pinecone.filter_translation import translate
from vecgate_backends.pinecone.index_requests import (
    MOST_IDS_A_LIST_PAGE,
    MOST_RECORDS_A_SCAN_PAGE,
    IndexRequests,
)
from vecgate_backends.pinecone.record_codec import StoredRecord


class Scanner:
    """Reads one index, at most so many records a call."""

    def __init__(self, requests: IndexRequests, most: int) -> None:
        self._requests = requests
        self._most = most

    async def matching(self, namespace: str, node: Filter | None) -> AsyncIterator[StoredRecord]:
        """Read every record of a namespace that matches, each once.

        Raises:
            ExhaustedError: more would have to be read than is allowed.
        """
        translation = translate(node)
        if translation.nothing:
            return
        seen: set[str] = set()
        token: str | None = None
        while True:
            page = await self._requests.page(namespace, translation.expression, token, MOST_RECORDS_A_SCAN_PAGE)
            for record in page.records:
                if record.vendor_id in seen:
                    continue
                seen.add(record.vendor_id)
                if node is None or translation.exact or matches(node, record.metadata):
                    yield record
            if len(seen) > self._most:
                raise ExhaustedError(
                    f"Pinecone cannot answer this itself, and over {self._most:,} records would have to be read one by one; "
                    "narrow the filter, or raise max_scan_records of the backend"
                )
            token = page.following
            if token is None:
                return

    async def ids(self, namespace: str) -> list[str]:
        """Return Pinecone's ids of every record of a namespace."""
        found: dict[str, None] = {}
        token: str | None = None
        while True:
            page = await self._requests.id_page(namespace, token, MOST_IDS_A_LIST_PAGE)
            found.update(dict.fromkeys(page.ids))
            token = page.following
            if token is None:
                return list(found)
