"""Get, Count, List, FieldStats."""

from __future__ import annotations

from vecgate.v1 import read_pb2 as wire
from vecgate_backends.contract import ByFilter, ByIds, Everything, Selector
from vecgate_backends.filters import Filter
from vecgate_backends.records import Timestamp
from vecgate_server.call_clock import call_clock
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.service import page_tokens
from vecgate_server.translate.filters import filter_from_wire, selector_from_wire
from vecgate_server.translate.metadata import value_to_wire
from vecgate_server.translate.outcomes import timings_to_wire
from vecgate_server.translate.records import ReturnFields, records_to_wire, return_fields
from vecgate_server.validate import argument_rules, metadata_rules


class ReadHandlers:
    """Records read without a search."""

    def __init__(self, directory: Directory, limits: LimitSettings) -> None:
        self._directory = directory
        self._limits = limits

    async def get(self, request: wire.GetRequest) -> wire.GetResponse:
        """Read records by ids, in their order, or the first that a filter selects."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        selector = selector_from_wire(request.selector, "selector", self._limits, ids_limit="max_page_size")
        chosen = return_fields(request.fields if request.HasField("fields") else None, "fields")
        limit = self._count(request, "limit")
        token = _token(request)
        located = await self._open(request.collection)
        match selector:
            case ByIds(ids):
                response = await _get_by_ids(located, namespace, ids, chosen, token)
            case ByFilter(filter=node):
                response = await _get_first(located, namespace, node, chosen, token, limit)
            case Everything():
                response = await _get_first(located, namespace, None, chosen, token, limit)
        response.timings.CopyFrom(timings_to_wire(clock))
        return response

    async def count(self, request: wire.CountRequest) -> wire.CountResponse:
        """Count the selected records, exactly."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        selector: Selector = Everything()
        if request.HasField("selector"):
            selector = selector_from_wire(request.selector, "selector", self._limits)
        located = await self._open(request.collection)
        count = await located.collection.count(namespace, selector, consistency_token=_token(request))
        return wire.CountResponse(count=count, timings=timings_to_wire(clock))

    async def list_page(self, request: wire.ListRequest) -> wire.ListResponse:
        """Page through the records that match."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        node = self._filter(request)
        chosen = return_fields(request.fields if request.HasField("fields") else None, "fields")
        located = await self._open(request.collection)
        # The time of making tells a collection from an earlier one of the same name.
        listing = page_tokens.listing_digest(located.spec.name, located.spec.created, namespace, node)
        page = await located.collection.list_records(
            namespace,
            node,
            cursor=page_tokens.page_cursor(request.page_token, listing),
            limit=argument_rules.page_size(request.page_size, self._limits.max_page_size),
            fields=chosen.fields,
            consistency_token=_token(request),
        )
        return wire.ListResponse(
            records=records_to_wire(page.records, as_floats=chosen.as_floats),
            next_page_token=page_tokens.page_token(page.cursor, listing),
            timings=timings_to_wire(clock),
        )

    async def field_stats(self, request: wire.FieldStatsRequest) -> wire.FieldStatsResponse:
        """Describe a metadata field over the records that match."""
        clock = call_clock()
        namespace = argument_rules.namespace(request.namespace)
        field = metadata_rules.field_name(request.field, "field")
        node = self._filter(request)
        limit = self._count(request, "limit")
        located = await self._open(request.collection)
        stats = await located.collection.field_stats(
            namespace, field, node, limit=limit, consistency_token=_token(request)
        )
        response = wire.FieldStatsResponse(
            values=[wire.ValueCount(value=value_to_wire(value), count=count) for value, count in stats.values],
            distinct_count=stats.distinct,
            present_count=stats.present,
            missing_count=stats.missing,
        )
        _set_range(response, "number", stats.numbers)
        _set_range(response, "timestamp", stats.timestamps)
        response.timings.CopyFrom(timings_to_wire(clock))
        return response

    async def _open(self, name: str) -> LocatedCollection:
        return await self._directory.collection(argument_rules.collection_name(name))

    def _filter(self, request: wire.ListRequest | wire.FieldStatsRequest) -> Filter | None:
        return filter_from_wire(request.filter, "filter", self._limits) if request.HasField("filter") else None

    def _count(self, request: wire.GetRequest | wire.FieldStatsRequest, field: str) -> int:
        asked = request.limit if request.HasField("limit") else None
        return argument_rules.count_up_to(
            asked, field, "max_page_size", self._limits.max_page_size, default=argument_rules.DEFAULT_PAGE_SIZE
        )


async def _get_by_ids(
    located: LocatedCollection,
    namespace: str,
    ids: tuple[str, ...],
    chosen: ReturnFields,
    token: str | None,
) -> wire.GetResponse:
    found = await located.collection.get(namespace, ids, chosen.fields, consistency_token=token)
    return wire.GetResponse(
        records=records_to_wire((record for record in found if record is not None), as_floats=chosen.as_floats),
        missing_ids=[asked for asked, record in zip(ids, found, strict=True) if record is None],
    )


async def _get_first(
    located: LocatedCollection,
    namespace: str,
    node: Filter | None,
    chosen: ReturnFields,
    token: str | None,
    limit: int,
) -> wire.GetResponse:
    page = await located.collection.list_records(
        namespace, node, cursor=None, limit=limit, fields=chosen.fields, consistency_token=token
    )
    return wire.GetResponse(
        records=records_to_wire(page.records, as_floats=chosen.as_floats), has_more=page.cursor is not None
    )


def _set_range(
    response: wire.FieldStatsResponse,
    kind: str,
    smallest_and_largest: tuple[int | float, int | float] | tuple[Timestamp, Timestamp] | None,
) -> None:
    if smallest_and_largest is not None:
        for side, value in zip(("min", "max"), smallest_and_largest, strict=True):
            getattr(response, f"{side}_{kind}").CopyFrom(value_to_wire(value))


def _token(request: wire.GetRequest | wire.CountRequest | wire.ListRequest | wire.FieldStatsRequest) -> str | None:
    # A write that stored nothing has an empty token, and every read has seen it.
    return request.consistency_token or None
