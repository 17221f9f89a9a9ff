"""Bringing a collection's memory up from its files: verified segments first, all else from the truth."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.faiss.block import Block
from vecgate_backends.faiss.database import translated_errors
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.scoring import index_form
from vecgate_backends.faiss.segment import Segment
from vecgate_backends.faiss.segment_file import SegmentContents, SegmentFileError, read_segment, segment_path
from vecgate_backends.faiss.segment_index import segment_index
from vecgate_backends.faiss.segment_parameters import SegmentParameters
from vecgate_backends.faiss.transaction import Transaction
from vecgate_backends.faiss.truth import SegmentRow, TruthReader, create_truth, open_truth
from vecgate_backends.records import CollectionSpec, Metadata

logger = logging.getLogger(__name__)


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

    def create(self) -> None:
        """Make them, empty.

        Raises:
            OSError, VecgateError: they cannot be made.
        """
        self.segments.mkdir(parents=True)
        create_truth(self.truth, self.uid)


@dataclass(slots=True)
class _Versions:
    """The live versions of one namespace, as columns."""

    internal_ids: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)


def load_partitions(files: CollectionFiles, spec: CollectionSpec, reader: TruthReader) -> dict[str, Partition]:
    """Return the partitions by namespace; segments that cannot be trusted are struck from the manifest, their files removed.

    Raises:
        StorageCorruptError: the truth is damaged.
    """
    files.segments.mkdir(exist_ok=True)
    trusted = _trusted_segments(files, spec, reader)
    versions: Mapping[str, _Versions] = _all_versions(reader)
    by_namespace: dict[str, list[tuple[SegmentRow, SegmentContents]]] = defaultdict(list)
    for row, contents in trusted:
        by_namespace[row.namespace].append((row, contents))
    return {
        namespace: _load_partition(namespace, spec, versions[namespace], by_namespace[namespace], reader)
        for namespace in versions.keys() | by_namespace.keys()
    }


def _trusted_segments(
    files: CollectionFiles, spec: CollectionSpec, reader: TruthReader
) -> list[tuple[SegmentRow, SegmentContents]]:
    trusted, refused = [], []
    for row in reader.segments():
        try:
            trusted.append((row, read_segment(segment_path(files.segments, row.uuid), row, spec.dimension)))
        except SegmentFileError as error:
            logger.warning("collection %s: segment dropped, its vectors come from the records: %s", spec.name, error)
            refused.append(row.uuid)
    if refused:
        _strike(files, refused)
    registered = {segment_path(files.segments, row.uuid) for row, _ in trusted}
    for path in set(files.segments.iterdir()) - registered:
        path.unlink()
    return trusted


def _strike(files: CollectionFiles, refused: list[str]) -> None:
    with closing(open_truth(files.truth, files.uid, thorough=False)) as connection, translated_errors(files.truth):
        connection.execute("BEGIN IMMEDIATE")
        Transaction(connection).replace_segments(None, refused)
        connection.execute("COMMIT")


def _all_versions(reader: TruthReader) -> dict[str, _Versions]:
    versions: dict[str, _Versions] = defaultdict(_Versions)
    for record in reader.indexed_records():
        columns = versions[record.namespace]
        columns.internal_ids.append(record.internal_id)
        columns.ids.append(record.id)
        columns.metadata.append(record.metadata)
    return versions


def _load_partition(
    namespace: str,
    spec: CollectionSpec,
    versions: _Versions,
    segments: list[tuple[SegmentRow, SegmentContents]],
    reader: TruthReader,
) -> Partition:
    internal_ids = np.array(versions.internal_ids, np.int64)
    covered = np.zeros(len(internal_ids), np.bool_)
    loaded = []
    for row, contents in segments:
        loaded.append(Segment(row, _block(row, contents, internal_ids, versions.ids)))
        covered |= np.isin(internal_ids, contents.internal_ids, assume_unique=True)
    partition = Partition(namespace, spec.dimension, loaded)
    new = np.flatnonzero(~covered)
    if len(new):
        ids = [versions.ids[at] for at in new.tolist()]
        vectors = reader.vectors(namespace, internal_ids[new], ids, spec.dimension)
        partition.head.append(internal_ids[new], ids, index_form(spec.metric, vectors))
    partition.metadata.add(versions.internal_ids, versions.metadata)
    return partition


def _block(row: SegmentRow, contents: SegmentContents, internal_ids: NDArray[np.int64], ids: list[str]) -> Block:
    """Join a segment with the truth: a row is alive exactly if the truth still has its version."""
    live = np.isin(contents.internal_ids, internal_ids, assume_unique=True)
    places = np.searchsorted(internal_ids, contents.internal_ids)
    record_ids = [ids[place] if alive else "" for place, alive in zip(places.tolist(), live.tolist(), strict=True)]
    dead = len(live) - int(np.count_nonzero(live))
    index = None
    if contents.faiss_index is not None:
        parameters = SegmentParameters.decode(row.parameters)
        index = segment_index(contents.faiss_index, parameters.index, parameters.breadth)
    return Block(contents.internal_ids, record_ids, contents.vectors, contents.norms, live, dead, index)
