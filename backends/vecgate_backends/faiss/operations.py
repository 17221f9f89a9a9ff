"""The write operations: each reads and changes the truth inside the writer's transaction and tells what it changed.

Operations of one group see each other's work in order. An operation may run twice, if the first transaction was rolled back, so it
keeps no state of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, repeat
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from vecgate_backends.contract import MetadataChanges
from vecgate_backends.errors import RecordExistsError, RecordNotFoundError, VecgateError
from vecgate_backends.faiss.changes import (
    Change,
    MetadataUpdated,
    NamespaceCleared,
    RecordsAdded,
    RecordsRemoved,
    SegmentsReplaced,
)
from vecgate_backends.faiss.manifest import SnapshotRow
from vecgate_backends.faiss.rebuild import Rebuild
from vecgate_backends.faiss.row_lots import lots
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.transaction import NewVersion, Transaction, Version
from vecgate_backends.filters import Filter, matches
from vecgate_backends.records import Metric, RecordBatch, WriteMode

JOINED_RECORDS = 32
"""Records that an upsert has at most that is run together with its neighbours: more gain nothing by it."""

ValueT_co = TypeVar("ValueT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[ValueT_co]):
    """What an operation answers its caller, and what it changed."""

    value: ValueT_co
    changes: Sequence[Change] = ()


class Operation(Protocol[ValueT_co]):
    """A write, run on the writer's thread. `weight`: about how many records it touches, at least 1."""

    @property
    def weight(self) -> int:
        """Its share of a group's bound."""

    def run(self, transaction: Transaction) -> Outcome[ValueT_co]:
        """Do it."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The records a delete or an update is about: those with these ids, or all for None, as far as they match the filter."""

    ids: Sequence[str] | None
    filter: Filter | None = None

    def find(self, transaction: Transaction, namespace: int) -> list[Version]:
        """Return the stored versions."""
        if self.ids is None:
            found = transaction.all_stored(namespace)
        else:
            found = list(transaction.stored(namespace, list(dict.fromkeys(self.ids))).values())
        return [version for version in found if self.filter is None or matches(self.filter, version.metadata)]


@dataclass(frozen=True, slots=True)
class UpsertRecords:
    """Write a batch; answers one error or None a record."""

    namespace: str
    batch: RecordBatch
    mode: WriteMode
    metric: Metric

    @property
    def weight(self) -> int:
        """Records in the batch."""
        return max(1, len(self.batch.ids))

    def run(self, transaction: Transaction) -> Outcome[list[VecgateError | None]]:
        """Replace what is stored by new versions; of several records with one id the last that is accepted stands."""
        return _upsert(transaction, self.namespace, self.batch, repeat(self.mode), self.metric)


def run_all(operations: Iterable[Operation[Any]], transaction: Transaction) -> list[Outcome[Any]]:
    """Run operations one after the other. Neighbouring upserts of few records into one namespace run as one, which comes to the same."""
    outcomes: list[Outcome[Any]] = []
    for namespace, neighbours in groupby(operations, _joined_namespace):
        if namespace is None:
            outcomes += [operation.run(transaction) for operation in neighbours]
        else:
            outcomes += _run_joined([own for own in neighbours if isinstance(own, UpsertRecords)], transaction)
    return outcomes


def _joined_namespace(operation: Operation[Any]) -> str | None:
    """Return the namespace of an upsert of few records, None for anything else."""
    if isinstance(operation, UpsertRecords) and operation.weight <= JOINED_RECORDS:
        return operation.namespace
    return None


def _run_joined(upserts: Sequence[UpsertRecords], transaction: Transaction) -> Iterator[Outcome[Any]]:
    """Run upserts into one namespace; the last outcome tells what all of them changed."""
    batches = [upsert.batch for upsert in upserts]
    joined = RecordBatch.joined(batches)
    modes = [upsert.mode for upsert in upserts for _ in upsert.batch.ids]
    outcome = _upsert(transaction, upserts[0].namespace, joined, modes, upserts[0].metric)
    errors = iter(outcome.value)
    *others, last = [list(islice(errors, len(batch.ids))) for batch in batches]
    yield from map(Outcome, others)
    yield Outcome(last, outcome.changes)


def _upsert(
    transaction: Transaction, name: str, batch: RecordBatch, modes: Iterable[WriteMode], metric: Metric
) -> Outcome[list[VecgateError | None]]:
    namespace = transaction.namespace(name)
    stored = transaction.stored(namespace, list(dict.fromkeys(batch.ids)))
    errors: list[VecgateError | None] = []
    accepted: dict[str, int] = {}
    for (row, record_id), mode in zip(enumerate(batch.ids), modes, strict=False):
        error = _mode_error(mode, record_id, exists=record_id in stored or record_id in accepted)
        if error is None:
            accepted[record_id] = row
        errors.append(error)
    replaced = [version for record_id, version in stored.items() if record_id in accepted]
    transaction.delete([version.internal_id for version in replaced])
    rows = list(accepted.values())
    internal_ids = transaction.insert(namespace, [_new_version(batch, row) for row in rows])
    added = RecordsAdded(
        name,
        np.arange(internal_ids.start, internal_ids.stop, dtype=np.int64),
        list(accepted),
        index_form(metric, batch.vectors[rows]),
        [batch.metadata[row] for row in rows],
    )
    return Outcome(errors, [*_removed(name, replaced), *([added] if rows else [])])


def _new_version(batch: RecordBatch, row: int) -> NewVersion:
    return NewVersion(
        batch.ids[row], batch.texts[row], batch.metadata[row], batch.vectors[row], batch.encoding_stamp(row)
    )


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Delete records; answers how many there were."""

    namespace: str
    targets: Targets

    @property
    def weight(self) -> int:
        """Records named."""
        return max(1, len(self.targets.ids or ()))

    def run(self, transaction: Transaction) -> Outcome[int]:
        """Delete them."""
        namespace = transaction.namespace(self.namespace)
        if self.targets.ids is None and self.targets.filter is None:
            return Outcome(transaction.clear(namespace), [NamespaceCleared(self.namespace)])
        found = self.targets.find(transaction, namespace)
        transaction.delete([version.internal_id for version in found])
        return Outcome(len(found), _removed(self.namespace, found))


@dataclass(frozen=True, slots=True)
class UpdateRecordMetadata:
    """Set and remove metadata fields in place; answers how many records were selected."""

    namespace: str
    targets: Targets
    changes: MetadataChanges

    @property
    def weight(self) -> int:
        """Records named."""
        return max(1, len(self.targets.ids or ()))

    def run(self, transaction: Transaction) -> Outcome[int]:
        """Change them; vectors and internal ids stay."""
        found = self.targets.find(transaction, transaction.namespace(self.namespace))
        touched = self.changes.remove | self.changes.set.keys()
        before = []
        for lot in lots(found):
            changed = []
            for version in lot:
                before.append({name: value for name, value in version.metadata.items() if name in touched})
                kept = {name: value for name, value in version.metadata.items() if name not in touched}
                changed.append(kept | dict(self.changes.set))
            transaction.set_metadata(lot, changed)
        internal_ids = [version.internal_id for version in found]
        after = [self.changes.set] * len(found)
        return Outcome(len(found), [MetadataUpdated(self.namespace, internal_ids, before, after)])


@dataclass(frozen=True, slots=True)
class ReplaceSegments:
    """Register what a rebuild made in the place of what it was made from."""

    namespace: str
    rebuild: Rebuild
    segment: Segment | None

    @property
    def weight(self) -> int:
        """A few rows of the manifest."""
        return 1

    def run(self, transaction: Transaction) -> Outcome[None]:
        """Register it."""
        row = None if self.segment is None else self.segment.row
        transaction.replace_segments(row, [segment.row.uuid for segment in self.rebuild.segments])
        return Outcome(None, [SegmentsReplaced(self.namespace, self.rebuild, self.segment)])


@dataclass(frozen=True, slots=True)
class ReplaceSnapshot:
    """Register a snapshot in the place of the one before."""

    row: SnapshotRow

    @property
    def weight(self) -> int:
        """A row, and what leaves the journal."""
        return 1

    def run(self, transaction: Transaction) -> Outcome[None]:
        """Register it."""
        transaction.replace_snapshot(self.row)
        return Outcome(None)


def _mode_error(mode: WriteMode, record_id: str, *, exists: bool) -> VecgateError | None:
    if mode is WriteMode.INSERT and exists:
        return RecordExistsError(f"a record with id {record_id!r} exists")
    if mode is WriteMode.UPDATE and not exists:
        return RecordNotFoundError(f"no record has id {record_id!r}")
    return None


def _removed(namespace: str, versions: Sequence[Version]) -> list[Change]:
    if not versions:
        return []
    internal_ids = [version.internal_id for version in versions]
    return [RecordsRemoved(namespace, internal_ids, [version.metadata for version in versions])]
