"""Which versions a collection holds when it is loaded: what its snapshot says and what changed since, or else every record of the truth."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss.loading_progress import LoadingProgress
from vecgate_backends.faiss.manifest import SnapshotRow
from vecgate_backends.faiss.namespace_records import NamespaceRecords
from vecgate_backends.faiss.ordered_column import bitmap
from vecgate_backends.faiss.snapshot_file import SnapshotFileError, read_snapshot
from vecgate_backends.faiss.truth import IndexedRecord, TruthReader
from vecgate_backends.records import Metadata

logger = logging.getLogger(__name__)

READ_WHOLE = 20_000
"""Records up to which every one is read at a start, and its checksum compared, which takes half a second."""
ROWS_AT_ONCE = 1 << 18
"""Records whose metadata are in memory as Python objects at a time, about 150 MB."""


@dataclass(slots=True)
class _Rows:
    """Versions of one namespace, as columns."""

    internal_ids: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HeldRecords:
    """Live versions by namespace, and how many records were read from the truth for that."""

    namespaces: dict[str, NamespaceRecords]
    read: int


def held_records(name: str, snapshots: Path, reader: TruthReader, progress: LoadingProgress) -> HeldRecords:
    """Return the live versions of a collection.

    Args:
        name: of the collection, for the log.
        snapshots: the directory of its snapshots.
        reader: of its truth.
        progress: is told of records that are read.

    Raises:
        StorageCorruptError: the truth is damaged.
    """
    tally = reader.tally()
    stored = sum(count for count, _ in tally.values())
    snapshot = reader.snapshot()
    if snapshot is not None and stored > READ_WHOLE:
        try:
            return _replayed(snapshot, snapshots, reader, progress, tally)
        except (
            SnapshotFileError,
            StorageCorruptError,
        ) as error:  # if records are damaged, reading them all tells so too
            logger.warning("collection %s: snapshot dropped, every record is read: %s", name, error)
    progress.expect("records", stored)
    return HeldRecords(_joined(progress.following("records", reader.indexed_records())), stored)


def _replayed(
    snapshot: SnapshotRow,
    snapshots: Path,
    reader: TruthReader,
    progress: LoadingProgress,
    tally: Mapping[str, tuple[int, int]],
) -> HeldRecords:
    """Return what a snapshot holds and what changed since, as long as that is what is stored.

    Raises:
        SnapshotFileError: it is not, or the file cannot be trusted.
    """
    held = read_snapshot(snapshots, snapshot)  # before anything of the row is believed: its checksum covers that
    if snapshot.sequence > reader.sequence():
        raise SnapshotFileError("it is of a later commit than the records")
    changed = bitmap(reader.journal(snapshot))
    for namespace, own in held.items():
        gone = own.metadata.everything & changed
        if gone:
            held[namespace] = own.without(gone)
    later = chain(reader.changed_records(snapshot), reader.indexed_records(behind=snapshot.last_internal_id))
    read = 0
    for namespace, added in _joined(progress.following("records", later)).items():
        held[namespace] = held[namespace].joined(added) if namespace in held else added
        read += len(added)
    held = {namespace: own for namespace, own in held.items() if len(own)}
    if {namespace: (len(own), int(own.internal_ids.sum())) for namespace, own in held.items()} != tally:
        raise SnapshotFileError("what it holds, and what changed since, are not the records that are stored")
    return HeldRecords(held, read)


def _joined(records: Iterable[IndexedRecord]) -> dict[str, NamespaceRecords]:
    """Take in records, ascending by internal id or in two runs that ascend."""
    held: dict[str, NamespaceRecords] = {}
    for rows in _lots(records):
        for namespace, own in rows.items():
            made = NamespaceRecords.of(own.internal_ids, own.ids, own.metadata)
            held[namespace] = held[namespace].joined(made) if namespace in held else made
    return held


def _lots(records: Iterable[IndexedRecord]) -> Iterator[Mapping[str, _Rows]]:
    rows: dict[str, _Rows] = defaultdict(_Rows)
    for number, record in enumerate(records, start=1):
        columns = rows[record.namespace]
        columns.internal_ids.append(record.internal_id)
        columns.ids.append(record.id)
        columns.metadata.append(record.metadata)
        if number % ROWS_AT_ONCE == 0:
            yield rows
            rows = defaultdict(_Rows)
    yield rows
