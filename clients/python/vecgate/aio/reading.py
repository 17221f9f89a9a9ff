"""Reading records by id or filter, counting, listing, describing fields."""

# ruff: noqa: ASYNC109  # a timeout is told to the server, it is no cancellation here
# ruff: noqa: A002  # filter, all and set are the words of the API

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from vecgate.aio.connection import AsyncConnected
from vecgate.errors import ResourceExhaustedError
from vecgate.filters import Filter
from vecgate.records import TEXT_AND_METADATA, Fields
from vecgate.results import FieldStats, GetResult, StoredRecord
from vecgate.v1.read_pb2 import CountRequest, FieldStatsRequest, GetRequest, ListRequest
from vecgate.wire.filters import optional_filter_message, selector_message
from vecgate.wire.records import field_stats_from, fields_message, get_result_from, record_from

DEFAULT_PAGE_SIZE = 100
"""Records of a page unless asked otherwise: ListRequest.page_size."""


class AsyncReading(AsyncConnected):
    """The client's methods that read.

    >>> (await client.get("docs", ["cat"])).records[0].metadata["year"]
    2024
    >>> sorted([record.id async for record in client.list("docs", filter='topic = "pets"')])
    ['cat', 'dog']
    """

    async def get(
        self,
        collection: str,
        ids: Sequence[str] | None = None,
        *,
        filter: Filter | str | None = None,
        all: bool = False,
        limit: int | None = None,
        fields: Fields = TEXT_AND_METADATA,
        namespace: str = "",
        consistency_token: str | None = None,
        timeout: float | None = None,
    ) -> GetResult:
        """Read records.

        Args:
            collection: the collection.
            ids: the records with these ids, in this order; exactly one of `ids`, `filter` and `all` is given.
            filter: the records that match.
            all: every record of the namespace.
            limit: with `filter` or `all`: records at most, default 100; list() pages through more.
            fields: which parts to return.
            namespace: the partition.
            consistency_token: of a write that this read must see.
            timeout: seconds.

        Raises:
            InvalidArgumentError: no or several selections, too many ids, or a bad filter.
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        request = GetRequest(
            collection=collection,
            namespace=namespace,
            selector=selector_message(ids, filter, all),
            fields=fields_message(fields),
            limit=limit,
            consistency_token=consistency_token,
        )
        response = await self._connection.read(self._connection.stub.Get, request, timeout)
        return get_result_from(response)

    async def count(
        self,
        collection: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | str | None = None,
        namespace: str = "",
        consistency_token: str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Count records, exactly.

        >>> await client.count("docs", filter=field("year") >= 2020)
        2

        Args:
            collection: the collection.
            ids: only records with these ids; at most one of `ids` and `filter` is given.
            filter: only records that match.
            namespace: the partition.
            consistency_token: of a write that this read must see.
            timeout: seconds.

        Raises:
            InvalidArgumentError: both selections, or a bad filter.
            NotFoundError: COLLECTION_NOT_FOUND.
        """
        request = CountRequest(
            collection=collection,
            namespace=namespace,
            selector=selector_message(ids, filter, all=ids is None and filter is None),
            consistency_token=consistency_token,
        )
        response = await self._connection.read(self._connection.stub.Count, request, timeout)
        return response.count

    def list(
        self,
        collection: str,
        *,
        filter: Filter | str | None = None,
        fields: Fields = TEXT_AND_METADATA,
        page_size: int | None = None,
        namespace: str = "",
        consistency_token: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[StoredRecord]:
        """Iterate over records, page by page, in a stable, unspecified order.

        A record that exists from the first page to the last comes exactly once, whatever is written meanwhile. A page that is
        larger than the server's max_message_bytes is asked for again with half the records.

        Args:
            collection: the collection.
            filter: only records that match.
            fields: which parts to return.
            page_size: records of one request; more than the server's max_page_size is brought down to it; default 100.
            namespace: the partition.
            consistency_token: of a write that this read must see.
            timeout: seconds for each request.

        Raises:
            InvalidArgumentError: something that cannot be sent; at the first record: what the server refuses.
            NotFoundError: at the first record: COLLECTION_NOT_FOUND.
        """
        request = ListRequest(
            collection=collection,
            namespace=namespace,
            filter=optional_filter_message(filter),
            page_size=page_size,
            fields=fields_message(fields),
            consistency_token=consistency_token,
        )
        return self._pages(request, timeout)

    async def field_stats(
        self,
        collection: str,
        field: str,
        *,
        filter: Filter | str | None = None,
        limit: int | None = None,
        namespace: str = "",
        consistency_token: str | None = None,
        timeout: float | None = None,
    ) -> FieldStats:
        """Describe a metadata field: its values with counts, its smallest and largest number and time.

        >>> (await client.field_stats("docs", "topic")).values
        (('pets', 2),)

        Args:
            collection: the collection.
            field: the metadata field.
            filter: only over records that match.
            limit: distinct values at most, the most frequent first; default 100.
            namespace: the partition.
            consistency_token: of a write that this read must see.
            timeout: seconds.

        Raises:
            InvalidArgumentError: a bad field name or filter, a limit out of range.
            NotFoundError: COLLECTION_NOT_FOUND.
            UnimplementedError: the backend cannot.
        """
        request = FieldStatsRequest(
            collection=collection,
            namespace=namespace,
            field=field,
            filter=optional_filter_message(filter),
            limit=limit,
            consistency_token=consistency_token,
        )
        response = await self._connection.read(self._connection.stub.FieldStats, request, timeout)
        return field_stats_from(response)

    async def _pages(self, request: ListRequest, timeout: float | None) -> AsyncIterator[StoredRecord]:
        while True:
            try:
                response = await self._connection.read(self._connection.stub.List, request, timeout)
            except ResourceExhaustedError as error:
                request.page_size = (request.page_size or DEFAULT_PAGE_SIZE) // 2
                if error.reason != "RESPONSE_TOO_LARGE" or request.page_size == 0:
                    raise
                continue
            for message in response.records:
                yield record_from(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return
