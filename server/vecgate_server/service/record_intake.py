"""The records of one Upsert on their way in: each is good or has a fault, and only good ones reach the backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np

from vecgate.v1.record_pb2 import Record
from vecgate_backends.errors import InvalidArgumentError, VecgateError
from vecgate_backends.records import CollectionSpec, FloatMatrix, Metadata, RecordBatch
from vecgate_server.config_limits import LimitSettings
from vecgate_server.errors import CollectionUnboundError
from vecgate_server.translate.metadata import metadata_from_wire
from vecgate_server.validate import argument_rules, metadata_rules
from vecgate_server.validate.vectors import read_vectors

STEP_RECORDS = 64
"""Records that are read and checked in one step of the event loop, about 0.3 ms; what else is called has its turn between two steps."""


class RecordIntake:
    """Checks records; then takes the vectors of encoded texts and the backend's verdicts.

    Attributes:
        faults: None or the fault of each record, in the request's order.
    """

    def __init__(self, records: Sequence[Record], spec: CollectionSpec, limits: LimitSettings) -> None:
        """Begin with records that were not looked at: check() is to come first."""
        self._unread = records
        self._records: list[Record] = []  # a repeated field makes an object anew each time it is asked for one
        self._spec = spec
        self._limits = limits
        self.faults: list[VecgateError | None] = [None] * len(records)
        self._metadata: list[Metadata] = []
        self._vectors: FloatMatrix = np.zeros((len(records), spec.dimension), np.float32)
        self._stamps = [b""] * len(records)
        self._without_vector: list[int] = []

    async def check(self) -> AsyncIterator[Sequence[Record]]:
        """Find the fault of each record, and read what is good; give the records, step by step."""
        for begin in range(0, len(self._unread), STEP_RECORDS):
            records = self._unread[begin : begin + STEP_RECORDS]
            self._records += records
            self._check_rows(range(begin, len(self._records)))
            yield records
            if len(self._unread) > STEP_RECORDS:  # what follows the last step is no short one either
                await asyncio.sleep(0)

    @property
    def good(self) -> list[int]:
        """Rows without a fault."""
        return [row for row, fault in enumerate(self.faults) if fault is None]

    @property
    def to_encode(self) -> list[int]:
        """Rows of the good records whose text still needs a vector."""
        return [row for row in self._without_vector if self.faults[row] is None]

    def ids_to_encode(self) -> list[str]:
        """The ids of `to_encode`, in its order."""
        return [self._records[row].id for row in self.to_encode]

    def texts_to_encode(self) -> list[str]:
        """The texts of `to_encode`, in its order."""
        return [self._records[row].text for row in self.to_encode]

    def take_vectors(self, rows: Sequence[int], vectors: FloatMatrix, stamps: Sequence[bytes]) -> None:
        """Take vectors for some rows of `to_encode`, shape (len(rows), dimension), each with its encoding stamp."""
        self._vectors[rows] = vectors
        for row, stamp in zip(rows, stamps, strict=True):
            self._stamps[row] = stamp
        taken = frozenset(rows)
        self._without_vector = [row for row in self._without_vector if row not in taken]

    def fail(self, faults: Mapping[int, VecgateError]) -> None:
        """Take the faults of some rows."""
        for row, fault in faults.items():
            self.faults[row] = fault

    def batch(self) -> RecordBatch:
        """Gather the good records as columns."""
        rows = self.good
        vectors = self._vectors if len(rows) == len(self._records) else self._vectors[rows]
        records = [self._records[row] for row in rows]
        return RecordBatch(
            ids=[record.id for record in records],
            vectors=vectors,
            texts=[record.text if record.HasField("text") else None for record in records],
            metadata=[self._metadata[row] for row in rows],
            encoding_stamps=[self._stamps[row] for row in rows] if any(self._stamps) else (),
        )

    def fail_written(self, errors: Sequence[VecgateError | None]) -> None:
        """Take the backend's verdict on each record of batch()."""
        for row, error in zip(self.good, errors, strict=True):
            self.faults[row] = error

    def _check_rows(self, rows: Sequence[int]) -> None:
        with_vector: list[int] = []
        for row in rows:
            record = self._records[row]
            fault = self.faults[row] = _fault(record, row, self._limits) or self._lack_of_model(record, row)
            self._metadata.append({} if fault else metadata_from_wire(record.metadata))
            if fault is None:
                (with_vector if record.HasField("vector") else self._without_vector).append(row)
        if with_vector:
            self._take_given_vectors(with_vector)

    def _take_given_vectors(self, rows: Sequence[int]) -> None:
        matrix, faults = read_vectors(
            [self._records[row].vector for row in rows],
            [f"records[{row}].vector" for row in rows],
            dimension=self._spec.dimension,
            metric=self._spec.metric,
        )
        self._vectors[rows] = matrix
        for row, fault in zip(rows, faults, strict=True):
            self.faults[row] = fault

    def _lack_of_model(self, record: Record, row: int) -> VecgateError | None:
        if self._spec.model is not None or record.HasField("vector"):
            return None
        return CollectionUnboundError(
            f"records[{row}].text: collection {self._spec.name!r} is bound to no model: send a vector beside the text"
        )


def _fault(record: Record, row: int, limits: LimitSettings) -> VecgateError | None:
    """Check all of a record but the numbers of its vector."""
    path = f"records[{row}]"
    try:
        argument_rules.record_id(record.id, f"{path}.id")
        if record.HasField("text"):
            argument_rules.text(record.text, f"{path}.text", limits.max_text_bytes)
        elif not record.HasField("vector"):
            raise InvalidArgumentError.at(path, "needs text, a vector or both")
        metadata_rules.metadata(record.metadata, f"{path}.metadata", limits)
    except InvalidArgumentError as fault:
        return fault
    return None
