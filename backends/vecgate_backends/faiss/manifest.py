"""The manifest: what the truth of a collection says of the files that are derived from it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from vecgate_backends.faiss.truth_format import SNAPSHOT_VERSION


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """What the truth says of a segment file; the file is trusted only where it agrees.

    Attributes:
        kind: IndexConfig.kind. parameters: JSON of the index settings it was built with.
        count: vectors in it. first_internal_id, last_internal_id: the smallest and the largest.
        checksum: 16 bytes, of the file and of this row: segment_file.manifest_checksum.
    """

    uuid: str
    namespace: str
    kind: str
    parameters: str
    count: int
    checksum: bytes
    first_internal_id: int
    last_internal_id: int
    file_version: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """What the truth says of the snapshot file; the file is trusted only where it agrees.

    Attributes:
        sequence: the commit it covers. last_internal_id: the largest in it, 0 if it is empty. records: how many it holds.
        checksum: 16 bytes; snapshot_file.registered_checksum tells of what.
    """

    uuid: str
    sequence: int
    last_internal_id: int
    records: int
    checksum: bytes
    file_version: int


def registered_segments(connection: sqlite3.Connection) -> list[SegmentRow]:
    """Return the manifest of an open truth, by first internal id."""
    rows = connection.execute(
        "SELECT uuid, name, kind, parameters, count, segments.checksum, first_internal_id, last_internal_id,"
        " file_version FROM segments JOIN namespaces ON namespaces.id = segments.namespace ORDER BY first_internal_id"
    )
    return [SegmentRow(*row) for row in rows]


def registered_snapshot(connection: sqlite3.Connection) -> SnapshotRow | None:
    """Return what an open truth says of its snapshot; None if there is none, or the file is of an older version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < SNAPSHOT_VERSION:
        return None
    query = "SELECT uuid, sequence, last_internal_id, records, checksum, file_version FROM snapshots"
    row = connection.execute(query).fetchone()
    return None if row is None else SnapshotRow(*row)
