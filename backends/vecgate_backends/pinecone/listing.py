"""Pages of records, in Pinecone's order, which is that of its ids and does not move under writes."""

from __future__ import annotations

from vecgate_backends.answers import Page
from vecgate_backends.errors import TokenInvalidError
from vecgate_backends.filters import Filter, matches
from vecgate_backends.pinecone.filter_translation import translate
from vecgate_backends.pinecone.identifiers import is_digest
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.record_codec import StoredRecord
from vecgate_backends.records import Fields, Record

_IDS, _RECORDS = "i:", "r:"


class Lister:
    """Lists one index. A cursor is Pinecone's token, behind a letter that tells which of its listings gave it."""

    def __init__(self, requests: IndexRequests) -> None:
        self._requests = requests

    async def page(self, namespace: str, node: Filter | None, cursor: str | None, limit: int, fields: Fields) -> Page:
        """Return the next records that match, at most `limit`; `namespace` is Pinecone's."""
        by_ids = node is None and fields.nothing
        kind = _IDS if by_ids else _RECORDS
        if cursor is not None and not cursor.startswith(kind):
            raise TokenInvalidError("the page token is of another listing")
        token = cursor[len(kind) :] if cursor is not None else None
        records: list[Record] = []
        while True:
            left = limit - len(records)
            if by_ids:
                found, token = await self._ids(namespace, token, left)
            else:
                found, token = await self._records(namespace, node, token, left, fields)
            records += found
            if token is None or len(records) == limit:
                return Page(records, None if token is None else kind + token)

    async def _ids(self, namespace: str, token: str | None, limit: int) -> tuple[list[Record], str | None]:
        page = await self._requests.id_page(namespace, token, limit)
        digests = [name for name in page.ids if is_digest(name)]
        named = await self._requests.fetch(namespace, digests) if digests else {}
        # One that was deleted between the two requests is gone from the page too.
        kept = [name for name in page.ids if not is_digest(name) or name in named]
        return [Record(named[name].id if name in named else name) for name in kept], page.following

    async def _records(
        self, namespace: str, node: Filter | None, token: str | None, limit: int, fields: Fields
    ) -> tuple[list[Record], str | None]:
        translation = translate(node)
        if translation.nothing:
            return [], None
        page = await self._requests.page(namespace, translation.expression, token, limit)
        kept: list[StoredRecord] = list(page.records)
        if node is not None and not translation.exact:
            kept = [record for record in kept if matches(node, record.metadata)]
        return [record.record(fields) for record in kept], page.following
