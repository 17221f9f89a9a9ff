"""The records of one Upsert, or of one batch of a stream: checked, given their vectors, written, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from vecgate.v1.ingest_pb2 import UpsertStreamOpen
from vecgate.v1.record_pb2 import Record
from vecgate.v1.write_pb2 import RecordOutcome, UpsertRequest
from vecgate_backends.errors import StorageFullError, UnavailableError, VecgateError
from vecgate_backends.records import Acknowledgement, RecordBatch, WriteMode
from vecgate_server.config_limits import LimitSettings
from vecgate_server.directory import Directory, LocatedCollection
from vecgate_server.encoders.base import LongText, ModelDescription
from vecgate_server.service.model_rules import check_vector_fingerprint
from vecgate_server.service.record_intake import RecordIntake
from vecgate_server.status import item_error
from vecgate_server.translate.enums import ACKNOWLEDGEMENTS, TRUNCATION_ON_WRITE, WRITE_MODES
from vecgate_server.validate import argument_rules


@dataclass(frozen=True, slots=True)
class UpsertTarget:
    """Where records go and how: what one Upsert, or one stream, says of all its records."""

    located: LocatedCollection
    namespace: str
    mode: WriteMode
    acknowledgement: Acknowledgement
    long_text: LongText


async def upsert_target(asked: UpsertRequest | UpsertStreamOpen, directory: Directory, path: str = "") -> UpsertTarget:
    """Check all that a request says beside its records, and open its collection.

    Args:
        asked: the request.
        directory: finds the collection.
        path: what the paths of its fields begin with.

    Raises:
        InvalidArgumentError: a name or a choice is wrong.
        CollectionNotFoundError: there is no such collection.
        BackendUnavailableError: the backend that may hold it is away.
        ModelMismatchError: the vectors were made by another model than the collection's.
    """
    collection = argument_rules.collection_name(asked.collection, f"{path}collection")
    namespace = argument_rules.namespace(asked.namespace, f"{path}namespace")
    mode = argument_rules.choice(asked.mode, WRITE_MODES, f"{path}mode")
    acknowledgement = argument_rules.choice(asked.acknowledgement, ACKNOWLEDGEMENTS, f"{path}acknowledgement")
    long_text = argument_rules.choice(asked.truncation, TRUNCATION_ON_WRITE, f"{path}truncation")
    located = await directory.collection(collection)
    fingerprint = asked.vector_fingerprint if asked.HasField("vector_fingerprint") else None
    check_vector_fingerprint(fingerprint, located.spec, f"{path}vector_fingerprint")
    return UpsertTarget(located, namespace, mode, acknowledgement, long_text)


class UpsertBatch:
    """Some records on their way in.

    Attributes:
        intake: which of them are good, with their vectors.
        outcomes: what is answered, one a record.
        model: what made the vectors of their texts; None while no text needed one.
        searchable, consistency_token: as in UpsertResponse.
    """

    def __init__(self, records: Sequence[Record], target: UpsertTarget, limits: LimitSettings) -> None:
        """Begin with records that were not looked at: check() is to come first."""
        self.intake = RecordIntake(records, target.located.spec, limits)
        self.outcomes: list[RecordOutcome] = []
        self.model: ModelDescription | None = None
        self.searchable = False
        self.consistency_token = ""
        self._gathered: RecordBatch | None = None

    def gather(self) -> RecordBatch:
        """Return the good records as columns; they must have their vectors. What is done here is not done again when they are written."""
        if self._gathered is None:
            self._gathered = self.intake.batch()
        return self._gathered

    async def check(self) -> None:
        """Check the records, each for itself."""
        async for records in self.intake.check():
            self.outcomes += [RecordOutcome(id=record.id) for record in records]

    @property
    def failed(self) -> int:
        """How many records have a fault."""
        return sum(fault is not None for fault in self.intake.faults)

    @property
    def store_fault(self) -> VecgateError | None:
        """Why the store took some records and not others, if that was not for what these are: it may take them later."""
        return next((fault for fault in self.intake.faults if fault is not None and _is_of_the_store(fault)), None)

    def end(self) -> None:
        """Put the faults of the records into their outcomes."""
        for outcome, fault in zip(self.outcomes, self.intake.faults, strict=True):
            if fault is not None:
                outcome.error.CopyFrom(item_error(fault))


async def write_batches(batches: Sequence[UpsertBatch], target: UpsertTarget) -> None:
    """Write the good records of one batch or of several in one step, in order, and end the batches.

    Raises:
        VecgateError: nothing was stored.
    """
    filled = [batch for batch in batches if batch.intake.good]
    if filled:
        records = RecordBatch.joined([batch.gather() for batch in filled])
        result = await target.located.collection.upsert(
            target.namespace, records, mode=target.mode, acknowledgement=target.acknowledgement
        )
        verdicts = iter(result.errors)
        for batch in filled:
            written: list[VecgateError | None] = list(islice(verdicts, len(batch.intake.good)))
            batch.intake.fail_written(written)
            if None in written:
                batch.searchable = result.searchable
                batch.consistency_token = result.consistency_token
    for batch in batches:
        batch.end()


def _is_of_the_store(fault: VecgateError) -> bool:
    return isinstance(fault, UnavailableError | StorageFullError) or fault.retry_after is not None
