"""Reading a Qdrant collection: by id, in pages, counts and statistics."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import methodcaller
from typing import Any

import numpy as np
from qdrant_client import models

from vecgate_backends.answers import FieldStats, Page
from vecgate_backends.errors import StorageCorruptError, TokenInvalidError
from vecgate_backends.field_statistics import describe_field
from vecgate_backends.filters import Filter
from vecgate_backends.qdrant.engine import Engine
from vecgate_backends.qdrant.filter_translation import in_namespace
from vecgate_backends.qdrant.payload import (
    ID,
    NAMESPACE,
    ORIGINAL,
    STAMP,
    TEXT,
    Payload,
    decode_metadata,
    decode_stamp,
    decode_vector,
    field_paths,
    selected_keys,
    unselected_keys,
)
from vecgate_backends.records import CollectionSize, Fields, Metadata, Record

READ_AT_ONCE = 512
"""Points of one answer where there is no limit of the caller's."""
_FEW_NAMESPACES = 1_000


def payload_selector(fields: Fields) -> Any:
    """Return which part of payloads holds the asked fields."""
    if fields.metadata is True:
        return models.PayloadSelectorExclude(exclude=unselected_keys(fields))
    return models.PayloadSelectorInclude(include=selected_keys(fields))


def vector_selector(engine: Engine, fields: Fields) -> Any:
    """Return which vectors of points to read."""
    return [engine.identity.vector] if fields.vector else False


def record_of(point: Any, fields: Fields) -> Record:
    """Build the record of a point that was read through the two selectors above."""
    payload: Payload = point.payload or {}
    if ID not in payload:
        raise StorageCorruptError(f"point {point.id} in Qdrant holds no record")
    vector = None
    if fields.vector:
        if ORIGINAL in payload:
            vector = decode_vector(payload[ORIGINAL])
        else:
            (stored,) = point.vector.values()
            vector = np.array(stored, np.float32)
    return Record(
        payload[ID],
        payload.get(TEXT) if fields.text else None,
        {} if fields.metadata is False else decode_metadata(payload),
        vector,
        decode_stamp(payload[STAMP]) if fields.encoding_stamp and STAMP in payload else b"",
    )


class Reader:
    """Reads records; see contract.Collection for what each method promises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def size(self) -> CollectionSize:
        """Count records by namespace, by a facet; asked again with more room if there are many."""
        engine, room = self._engine, _FEW_NAMESPACES
        while True:
            answer = await engine.read(methodcaller("facet", engine.name, key=NAMESPACE, limit=room, exact=True))
            if len(answer.hits) < room:
                break
            room *= 10
        own = engine.identity.namespace("")
        sizes = {
            hit.value.removeprefix(own): hit.count for hit in answer.hits if hit.count and hit.value.startswith(own)
        }
        if not sizes:
            await engine.check_current()
        return CollectionSize(dict(sorted(sizes.items())))

    async def get(self, namespace: str, ids: Sequence[str], fields: Fields) -> Sequence[Record | None]:
        """Read records by id, in the order asked."""
        points = await self.points(namespace, ids, payload_selector(fields), vector_selector(self._engine, fields))
        return [record_of(points[record_id], fields) if record_id in points else None for record_id in ids]

    async def points(
        self, namespace: str, ids: Sequence[str], payload: Any = False, vectors: Any = False
    ) -> Mapping[str, Any]:
        """Read the points that hold records, by record id; those not stored are left out."""
        engine = self._engine
        record_ids = {engine.identity.point_id(namespace, record_id): record_id for record_id in ids}
        point_ids = list(record_ids)
        found: dict[str, Any] = {}
        for start in range(0, len(point_ids), READ_AT_ONCE):
            some = point_ids[start : start + READ_AT_ONCE]
            points = await engine.read(
                methodcaller("retrieve", engine.name, ids=some, with_payload=payload, with_vectors=vectors)
            )
            found.update((record_ids[str(point.id)], point) for point in points)
        if not found:
            await engine.check_current()
        return found

    async def count(self, namespace: str, condition: models.Filter) -> int:
        """Count, exactly, the points that a filter on the namespace selects."""
        del namespace  # it is in the condition
        engine = self._engine
        answer = await engine.read(lambda client: client.count(engine.name, count_filter=condition, exact=True))
        if not answer.count:
            await engine.check_current()
        return int(answer.count)

    async def page(
        self, namespace: str, node: Filter | None, *, cursor: str | None, limit: int, fields: Fields
    ) -> Page:
        """Read a page in the order of point ids; the cursor is the id that the next one starts at."""
        points, following = await self._scroll(
            namespace, node, cursor, limit, payload_selector(fields), vector_selector(self._engine, fields)
        )
        if not points and cursor is None:
            await self._engine.check_current()
        return Page([record_of(point, fields) for point in points], following)

    async def field_stats(self, namespace: str, field: str, node: Filter | None, limit: int) -> FieldStats:
        """Read the field of every record that matches, and count here: no facet tells numbers and timestamps exactly."""
        rows = [metadata async for metadata in self._field(namespace, field, node)]
        if not rows:
            await self._engine.check_current()
        return await asyncio.to_thread(describe_field, rows, field, limit)

    async def _field(self, namespace: str, field: str, node: Filter | None) -> AsyncIterator[Metadata]:
        selector = models.PayloadSelectorInclude(include=field_paths(field))
        cursor: str | None = None
        while True:
            points, cursor = await self._scroll(namespace, node, cursor, READ_AT_ONCE, selector, vectors=False)
            for point in points:
                yield decode_metadata(point.payload or {})
            if cursor is None:
                return

    async def _scroll(
        self, namespace: str, node: Filter | None, cursor: str | None, limit: int, payload: Any, vectors: Any
    ) -> tuple[Sequence[Any], str | None]:
        engine = self._engine
        condition = in_namespace(engine.identity.namespace(namespace), node)
        offset = None if cursor is None else _point_id(cursor)
        engine.serve_filter(node)
        points, following = await engine.read(
            lambda client: client.scroll(
                engine.name,
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=payload,
                with_vectors=vectors,
            )
        )
        return points, None if following is None else str(following)


def _point_id(cursor: str) -> str:
    try:
        return str(uuid.UUID(cursor))
    except ValueError:
        raise TokenInvalidError("the page's cursor is damaged") from None
