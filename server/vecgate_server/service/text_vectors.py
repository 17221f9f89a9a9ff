"""How the texts of an Upsert come by their vectors: the stored one where text and model are what they were, the encoder's otherwise.

What the same model made of the same text is a vector of it, whatever stood beside it then. So a stored one stays right even if the record is replaced or deleted before it is written
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from vecgate.v1.outcome_pb2 import EncodedText
from vecgate_backends.errors import PreconditionError, StorageCorruptError, VecgateError
from vecgate_backends.records import Fields, FloatVector, Record
from vecgate_server.call_clock import CallClock
from vecgate_server.encoders.base import Encoding, LongText, ModelDescription, Models, Role
from vecgate_server.service.encoding_stamp import TextReading, read_stamp, write_stamp
from vecgate_server.service.model_rules import bound_encoder, bound_model, text_too_long
from vecgate_server.service.upsert_batch import UpsertBatch, UpsertTarget
from vecgate_server.translate.outcomes import encoded_text_to_wire
from vecgate_server.validate.vectors import encoded_faults

logger = logging.getLogger(__name__)

STORED_VECTOR = Fields(text=False, metadata=False, vector=True, encoding_stamp=True)
STEP_COST = 400_000
"""What is digested in one step of the event loop, about 1 ms; in characters of text, each vector counting for VECTOR_COST."""
VECTOR_COST = 2_000

Encode: TypeAlias = Callable[[], Awaitable[Encoding]]


async def at_once(encode: Encode) -> Encoding:
    """Ask the encoder once; it refuses if it is busy."""
    return await encode()


@dataclass(frozen=True, slots=True)
class TextVectors:
    """Gives the records of a batch that have text alone their vectors.

    Attributes:
        ask: asks the encoder, and decides what is done if it is busy.
    """

    models: Models
    target: UpsertTarget
    clock: CallClock
    ask: Callable[[Encode], Awaitable[Encoding]] = at_once

    async def fill(self, batch: UpsertBatch) -> None:
        """Give `batch` vectors or faults for all texts without one, and note which model made them and how each text was read.

        Raises:
            EncoderBusyError, ModelUnavailableError: the texts cannot be encoded now.
            BackendUnavailableError: stored vectors cannot be read now.
        """
        intake = batch.intake
        if not intake.to_encode:
            return
        try:
            model = await bound_model(self.models, self.target.located.spec)
            if self.target.located.capabilities.encoding_stamps:
                await self._reuse(batch, model)
            if intake.to_encode:
                await self._encode(batch)
        except PreconditionError as fault:  # of text alone: records with vectors go on
            intake.fail(dict.fromkeys(intake.to_encode, fault))

    async def _reuse(self, batch: UpsertBatch, model: ModelDescription) -> None:
        """Take the stored vectors whose stamps say that they are those of these texts."""
        intake = batch.intake
        rows, ids, texts = intake.to_encode, intake.ids_to_encode(), intake.texts_to_encode()
        stored = await self._stored(ids)
        if not any(stored):
            return
        taken: list[int] = []
        vectors: list[FloatVector] = []
        stamps: list[bytes] = []
        faults: dict[int, VecgateError] = {}
        async for at in _in_steps(texts):
            record, row = stored[at], rows[at]
            if record is None or record.vector is None:
                continue
            reading = read_stamp(record.encoding_stamp, model.fingerprint, texts[at], record.vector)
            if reading is None:
                continue
            if reading.truncated and self.target.long_text is LongText.REFUSE:
                faults[row] = text_too_long(f"records[{row}].text", model)
                continue
            taken.append(row)
            vectors.append(record.vector)
            stamps.append(record.encoding_stamp)
            read = EncodedText(tokens=reading.tokens, truncated=reading.truncated, reused=True)
            batch.outcomes[row].encoded.CopyFrom(read)
        intake.fail(faults)
        if taken:
            intake.take_vectors(taken, np.stack(vectors), stamps)
        if taken or faults:
            batch.model = model

    async def _stored(self, ids: Sequence[str]) -> Sequence[Record | None]:
        try:
            collection = self.target.located.collection
            return await collection.get(self.target.namespace, ids, STORED_VECTOR)
        except StorageCorruptError as damage:
            # What is about to be replaced need not be readable.
            name = self.target.located.spec.name
            logger.warning("collection %s: texts are encoded again, stored vectors cannot be read: %s", name, damage)
            return [None] * len(ids)

    async def _encode(self, batch: UpsertBatch) -> None:
        """Encode what is left."""
        intake, long_text, spec = batch.intake, self.target.long_text, self.target.located.spec
        encoder = await bound_encoder(self.models, spec)
        rows, texts = intake.to_encode, intake.texts_to_encode()
        encoding = await self.ask(partial(encoder.encode, texts, Role.DOCUMENT, long_text=long_text))
        self.clock.encoded(encoding.timings)
        batch.model = encoder.description
        stamps = await self._stamps(encoding, texts, encoder.description.fingerprint)
        intake.take_vectors(rows, encoding.vectors, stamps)
        too_long = np.flatnonzero(encoding.truncated).tolist() if long_text is LongText.REFUSE else []
        refused: dict[int, VecgateError] = {
            rows[at]: text_too_long(f"records[{rows[at]}].text", encoder.description) for at in too_long
        }
        paths = [f"records[{row}].text" for row in rows]
        zeros = encoded_faults(encoding.vectors, paths, spec.metric)
        refused |= {rows[at]: fault for at, fault in zeros.items()}
        intake.fail(refused)
        for at, row in enumerate(rows):
            if row not in refused:
                batch.outcomes[row].encoded.CopyFrom(encoded_text_to_wire(encoding, at))

    async def _stamps(self, encoding: Encoding, texts: Sequence[str], fingerprint: str) -> list[bytes]:
        stamps = [b""] * len(texts)
        if self.target.located.capabilities.encoding_stamps:
            async for at in _in_steps(texts):
                reading = TextReading(int(encoding.tokens[at]), bool(encoding.truncated[at]))
                stamps[at] = write_stamp(reading, fingerprint, texts[at], encoding.vectors[at])
        return stamps


async def _in_steps(texts: Sequence[str]) -> AsyncIterator[int]:
    """Yield the places of texts, and let the event loop go on now and then."""
    cost = 0
    for at, text in enumerate(texts):
        yield at
        cost += VECTOR_COST + len(text)
        if cost >= STEP_COST:
            cost = 0
            await asyncio.sleep(0)
