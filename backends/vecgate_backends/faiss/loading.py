"""Bringing a collection's memory up from its files: what can be trusted of segments and snapshot first, all else from the truth."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.catalogue import CatalogueEntry
from vecgate_backends.faiss.database import translated_errors
from vecgate_backends.faiss.held_records import held_records
from vecgate_backends.faiss.loading_progress import LoadingProgress
from vecgate_backends.faiss.manifest import SegmentRow
from vecgate_backends.faiss.namespace_records import NamespaceRecords
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.row_checksum import RowKey
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.segment_file import SegmentContents, SegmentFileError, read_segment, segment_path
from vecgate_backends.faiss.segment_index import segment_index
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.faiss.snapshot_file import snapshot_path
from vecgate_backends.faiss.transaction import Transaction
from vecgate_backends.faiss.truth import TruthReader, create_truth, open_truth
from vecgate_backends.records import CollectionSpec

logger = logging.getLogger(__name__)

LOT = 2048
"""Vectors that are read from the truth at once."""


@dataclass(frozen=True, slots=True)
class CollectionFiles:
    """Where the files of a collection lie."""

    directory: Path
    uid: str

    @property
    def truth(self) -> Path:
        """The SQLite file."""
        return self.directory / "records.db"

    @property
    def segments(self) -> Path:
        """The directory of segment files."""
        return self.directory / "segments"

    @property
    def snapshots(self) -> Path:
        """The directory of snapshot files."""
        return self.directory / "snapshots"

    def create(self) -> None:
        """Make them, empty.

        Raises:
            OSError, VecgateError: they cannot be made.
        """
        self.segments.mkdir(parents=True)
        self.snapshots.mkdir()
        create_truth(self.truth, self.uid)


@dataclass(frozen=True, slots=True)
class LoadedCollection:
    """What a start reads from the files of a collection.

    Attributes:
        reader, connection: open on its truth. partitions: by namespace. sequence: of the last commit.
        journaled_to: the largest internal id that the registered snapshot may hold. read: records that were read one by one.
    """

    reader: TruthReader
    connection: sqlite3.Connection
    partitions: dict[str, Partition]
    sequence: int
    journaled_to: int
    read: int

    def close(self) -> None:
        """Close its files, if nothing is to be made of it."""
        self.reader.close()
        self.connection.close()


async def load_collection(entry: CatalogueEntry, files: CollectionFiles, progress: LoadingProgress) -> LoadedCollection:
    """Read the files of a collection off the event loop; a caller who is cancelled stops that, and waits until the files are let go.

    Raises:
        StorageCorruptError, BackendUnavailableError: the truth is damaged, or a file cannot be read.
    """
    loading = asyncio.create_task(asyncio.to_thread(_load, entry, files, progress))
    try:
        return await asyncio.shield(loading)
    except asyncio.CancelledError:
        progress.stop()
        await asyncio.wait([loading])
        if loading.exception() is None:
            loading.result().close()
        raise


def _load(entry: CatalogueEntry, files: CollectionFiles, progress: LoadingProgress) -> LoadedCollection:
    reader = TruthReader(files.truth, entry.uid)
    try:
        partitions, read = _partitions(files, entry.spec, reader, progress)
        snapshot = reader.snapshot()
        journaled_to = 0 if snapshot is None else snapshot.last_internal_id
        connection = open_truth(files.truth, entry.uid, thorough=False)
        return LoadedCollection(reader, connection, partitions, reader.sequence(), journaled_to, read)
    except OSError as error:
        reader.close()
        raise BackendUnavailableError(f"the files of collection {entry.spec.name!r} cannot be used: {error}") from error
    except BaseException:
        reader.close()
        raise


def _partitions(
    files: CollectionFiles, spec: CollectionSpec, reader: TruthReader, progress: LoadingProgress
) -> tuple[dict[str, Partition], int]:
    """Return the partitions and how many records were read for them; segments that cannot be trusted are struck, their files removed."""
    for directory in (files.segments, files.snapshots):
        directory.mkdir(exist_ok=True)
    rows = reader.segments()
    with ThreadPoolExecutor(os.cpu_count(), "vecgate-load") as readers:
        counts: list[object] = [row.count for row in rows]  # in a damaged manifest they may have any type
        progress.expect("vectors of segments", sum(count for count in counts if isinstance(count, int)))
        contents = readers.map(lambda row: _read(files, spec, row, progress), rows)
        held = held_records(spec.name, files.snapshots, reader, progress)
        trusted = [(row, found) for row, found in zip(rows, contents, strict=True) if found is not None]
    _tidy(files, reader, rows, [row for row, _ in trusted])
    by_namespace: dict[str, list[tuple[SegmentRow, SegmentContents]]] = defaultdict(list)
    for row, found in trusted:
        by_namespace[row.namespace].append((row, found))
    partitions, uncovered = {}, []
    for namespace in held.namespaces.keys() | by_namespace.keys():
        own = held.namespaces.get(namespace) or NamespaceRecords.of([], [], [])
        segments, bare = _segments(own, by_namespace[namespace])
        partitions[namespace] = Partition(namespace, spec.dimension, segments, own.metadata)
        uncovered.append((namespace, own, bare))
    _fill_heads(partitions, uncovered, spec, reader, progress)
    return partitions, held.read


def _read(
    files: CollectionFiles, spec: CollectionSpec, row: SegmentRow, progress: LoadingProgress
) -> SegmentContents | None:
    progress.go_on()
    try:
        contents = read_segment(segment_path(files.segments, row.uuid), row, spec.dimension)
    except SegmentFileError as error:
        logger.warning("collection %s: segment dropped, its vectors come from the records: %s", spec.name, error)
        return None
    progress.advance("vectors of segments", row.count)
    return contents


def _tidy(
    files: CollectionFiles, reader: TruthReader, registered: Sequence[SegmentRow], trusted: Sequence[SegmentRow]
) -> None:
    """Strike the segments that are not trusted, and remove files that nothing names."""
    refused = {row.uuid for row in registered} - {row.uuid for row in trusted}
    if refused:
        with closing(open_truth(files.truth, files.uid, thorough=False)) as truth, translated_errors(files.truth):
            truth.execute("BEGIN IMMEDIATE")
            Transaction(truth).replace_segments(None, refused)
            truth.execute("COMMIT")
    named = {segment_path(files.segments, row.uuid) for row in trusted}
    snapshot = reader.snapshot()
    if snapshot is not None:
        named.add(snapshot_path(files.snapshots, snapshot.uuid))
    for path in {*files.segments.iterdir(), *files.snapshots.iterdir()} - named:
        path.unlink()


def _segments(
    held: NamespaceRecords, found: Iterable[tuple[SegmentRow, SegmentContents]]
) -> tuple[list[Segment], NDArray[np.intp]]:
    """Join segments with what is held: a row is alive exactly if its version is. Returns the places of versions in no segment, too."""
    bare = np.ones(len(held), np.bool_)
    segments = []
    for row, contents in found:
        places = np.searchsorted(held.internal_ids, contents.internal_ids)
        live = places < len(held)
        live[live] = held.internal_ids[places[live]] == contents.internal_ids[live]
        places[~live] = 0  # whose id a dead row has is never asked
        bare[places[live]] = False
        index = None
        if contents.faiss_index is not None:
            parameters = SegmentParameters.decode(row.parameters)
            index = segment_index(contents.faiss_index, parameters.index, parameters.breadth)
        dead = len(live) - int(np.count_nonzero(live))
        ids = held.ids.at(places)
        segments.append(
            Segment(row, Block(contents.internal_ids, ids, contents.vectors, contents.norms, live, dead, index))
        )
    return segments, np.flatnonzero(bare)


def _fill_heads(
    partitions: Mapping[str, Partition],
    uncovered: Sequence[tuple[str, NamespaceRecords, NDArray[np.intp]]],
    spec: CollectionSpec,
    reader: TruthReader,
    progress: LoadingProgress,
) -> None:
    """Read the vectors of versions that are in no segment: once along the file, since namespaces are interleaved in it."""
    internal_ids = np.concatenate([np.empty(0, np.int64), *(own.internal_ids[bare] for _, own, bare in uncovered)])
    owners = np.repeat(np.arange(len(uncovered)), [len(bare) for _, _, bare in uncovered])
    places = np.concatenate([np.empty(0, np.intp), *(bare for _, _, bare in uncovered)])
    order = np.argsort(internal_ids, kind="stable")
    numbers = reader.numbers()
    if len(order):
        progress.expect("vectors outside segments", len(order))
    for begin in range(0, len(order), LOT):
        progress.go_on()
        lot = order[begin : begin + LOT]
        keys, names = [], []
        for owner, place, internal_id in zip(
            owners[lot].tolist(), places[lot].tolist(), internal_ids[lot].tolist(), strict=True
        ):
            namespace, own, _ = uncovered[owner]
            names.append(own.ids[place])
            keys.append(RowKey(internal_id, numbers[namespace], names[-1].encode()))
        vectors = index_form(spec.metric, reader.vectors(keys, spec.dimension))
        by_owner = np.argsort(owners[lot], kind="stable")
        owned = owners[lot][by_owner]
        for rows in np.split(by_owner, np.flatnonzero(np.diff(owned)) + 1):
            head = partitions[uncovered[owners[lot[rows[0]]]][0]].head
            head.append(internal_ids[lot[rows]], [names[row] for row in rows.tolist()], vectors[rows])
        progress.advance("vectors outside segments", len(lot))
