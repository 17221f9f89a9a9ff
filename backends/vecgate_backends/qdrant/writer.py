"""Writing to a Qdrant collection. Every call to Qdrant may be made twice to the same effect, and waits until it is applied."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qdrant_client import models

from vecgate_backends.answers import WriteResult
from vecgate_backends.errors import RecordExistsError, RecordNotFoundError, VecgateError
from vecgate_backends.qdrant.engine import Engine
from vecgate_backends.qdrant.payload import (
    ID,
    LENGTH,
    NAMESPACE,
    NONCE,
    ORIGINAL,
    STAMP,
    TEXT,
    Payload,
    encode_metadata,
    encode_stamp,
    encode_vector,
)
from vecgate_backends.qdrant.reader import Reader
from vecgate_backends.qdrant.tokens import write_token
from vecgate_backends.qdrant.vectors import StoredVectors, stored_vectors
from vecgate_backends.records import Metric, RecordBatch, WriteMode

_BYTES_OF_ONE_CALL = 8 * 2**20
_UPDATE_MODES = {
    WriteMode.UPSERT: None,
    WriteMode.INSERT: models.UpdateMode.INSERT_ONLY,
    WriteMode.UPDATE: models.UpdateMode.UPDATE_ONLY,
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of a batch: record id → the row that is written; row → why it is not."""

    rows: dict[str, int] = field(default_factory=dict)
    errors: dict[int, VecgateError] = field(default_factory=dict)


class Writer:
    """Stores batches of records; see contract.Collection.upsert."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._engine = engine
        self._reader = reader

    async def upsert(self, namespace: str, batch: RecordBatch, mode: WriteMode) -> WriteResult:
        """Store a batch of the right shape.

        Raises:
            VecgateError: the first part of it failed. What fails later fails by record.
        """
        plan = await self._plan(namespace, batch, mode)
        nonce = uuid.uuid4().hex if mode is WriteMode.INSERT else None
        lost: dict[str, VecgateError] = {}
        applied = True
        for number, part in enumerate(self._parts(namespace, batch, plan, nonce)):
            try:
                applied &= await self._send(list(part.values()), mode)
            except VecgateError as error:
                if number == 0:
                    raise
                written = list(plan.rows)
                lost = dict.fromkeys(written[written.index(next(iter(part))) :], error)
                break
        if mode is not WriteMode.UPSERT:
            lost |= await self._lost_races(namespace, [name for name in plan.rows if name not in lost], nonce)
        errors = [plan.errors.get(row) or lost.get(record_id) for row, record_id in enumerate(batch.ids)]
        return WriteResult(errors, applied, write_token(self._engine.identity, applied=applied))

    async def _plan(self, namespace: str, batch: RecordBatch, mode: WriteMode) -> _Plan:
        """Decide, as if the rows were written one after the other, which row of each id stands."""
        plan = _Plan()
        if mode is WriteMode.UPSERT:
            plan.rows.update((record_id, row) for row, record_id in enumerate(batch.ids))
            return plan
        existing = await self._reader.points(namespace, list(dict.fromkeys(batch.ids)))
        for row, record_id in enumerate(batch.ids):
            if mode is WriteMode.INSERT and (record_id in existing or record_id in plan.rows):
                plan.errors[row] = _exists(record_id)
            elif mode is WriteMode.UPDATE and record_id not in existing:
                plan.errors[row] = _missing(record_id)
            else:
                plan.rows[record_id] = row
        return plan

    def _parts(
        self, namespace: str, batch: RecordBatch, plan: _Plan, nonce: str | None
    ) -> Iterator[dict[str, models.PointStruct]]:
        """Cut what is written into parts that Qdrant takes in one message."""
        part: dict[str, models.PointStruct] = {}
        size = 0
        stored = stored_vectors(self._engine.spec.metric, batch.vectors)
        for record_id, row in plan.rows.items():
            point = self._point(namespace, batch, stored, row, nonce)
            weight = 4 * self._engine.spec.dimension + _weight(point.payload)
            if part and (len(part) >= self._engine.options.batch_size or size + weight > _BYTES_OF_ONE_CALL):
                yield part
                part, size = {}, 0
            part[record_id] = point
            size += weight
        if part:
            yield part

    def _point(
        self, namespace: str, batch: RecordBatch, stored: StoredVectors, row: int, nonce: str | None
    ) -> models.PointStruct:
        identity = self._engine.identity
        payload: Payload = {ID: batch.ids[row], NAMESPACE: identity.namespace(namespace)}
        text = batch.texts[row]
        if text is not None:
            payload[TEXT] = text
        if self._engine.spec.metric is Metric.DOT:
            payload[LENGTH] = float(np.linalg.norm(batch.vectors[row].astype(np.float64)))
        if stored.changed[row]:
            payload[ORIGINAL] = encode_vector(batch.vectors[row])
        if nonce is not None:
            payload[NONCE] = nonce
        if batch.encoding_stamp(row):
            payload[STAMP] = encode_stamp(batch.encoding_stamp(row))
        payload.update(encode_metadata(batch.metadata[row]))
        return models.PointStruct.model_construct(  # validation would look at every component of every vector
            id=identity.point_id(namespace, batch.ids[row]),
            vector={identity.vector: stored.rows[row].tolist()},
            payload=payload,
        )

    async def _send(self, points: Sequence[models.PointStruct], mode: WriteMode) -> bool:
        name, update_mode = self._engine.name, _UPDATE_MODES[mode]
        return await self._engine.write(
            lambda client: client.upsert(name, points=list(points), wait=True, update_mode=update_mode)
        )

    async def _lost_races(self, namespace: str, ids: Sequence[str], nonce: str | None) -> dict[str, VecgateError]:
        """Return the records that another writer put there, or took away, between the plan and the write."""
        if not ids:
            return {}
        found = await self._reader.points(namespace, ids, models.PayloadSelectorInclude(include=[NONCE]))
        if nonce is None:
            return {record_id: _missing(record_id) for record_id in ids if record_id not in found}
        return {
            record_id: _exists(record_id)
            for record_id, point in found.items()
            if (point.payload or {}).get(NONCE) != nonce
        }


def _weight(payload: Any) -> int:
    """Return roughly how many bytes a payload takes in a message."""
    strings = sum(
        len(value) if isinstance(value, str) else sum(len(text) + 8 for text in value) if isinstance(value, list) else 8
        for value in payload.values()
    )
    return 2 * strings + 32 * len(payload)


def _exists(record_id: str) -> VecgateError:
    return RecordExistsError(f"a record with id {record_id!r} exists")


def _missing(record_id: str) -> VecgateError:
    return RecordNotFoundError(f"no record has id {record_id!r}")
