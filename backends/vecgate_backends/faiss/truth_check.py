"""Checking the whole truth of a collection that no one has open, row by row, in memory that does not grow with it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecgate_backends.errors import StorageCorruptError, VecgateError
from vecgate_backends.faiss.codec import VECTOR_DTYPE
from vecgate_backends.faiss.database import check_format
from vecgate_backends.faiss.manifest import SegmentRow, SnapshotRow, registered_segments, registered_snapshot
from vecgate_backends.faiss.read_only import at_rest
from vecgate_backends.faiss.row_checksum import (
    ENCODING_STAMP,
    METADATA,
    TEXT,
    VECTOR,
    RowKey,
    journal_is_sound,
    verify_namespace,
)
from vecgate_backends.faiss.truth_format import FORMAT, SNAPSHOT_VERSION, STAMPED_VERSION

LISTED = 20
"""Sentences kept of what is damaged; the rest is counted."""


@dataclass(slots=True)
class Damage:
    """What is damaged: the first LISTED sentences, and how many there were."""

    sentences: list[str] = field(default_factory=list)
    count: int = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, sentence: str) -> None:
        """Take note of one more fault."""
        self.count += 1
        if len(self.sentences) < LISTED:
            self.sentences.append(sentence)


@dataclass(slots=True)
class TruthCheck:
    """What a truth holds.

    Attributes:
        damage: what is wrong with it.
        records: namespace → records that were read.
        segments: the manifest; None if it cannot be read.
        snapshot: what it says of its snapshot. sound_journal: whether the journal that goes with that is as it was written.
    """

    damage: Damage = field(default_factory=Damage)
    records: Mapping[str, int] = field(default_factory=dict)
    segments: Sequence[SegmentRow] | None = None
    snapshot: SnapshotRow | None = None
    sound_journal: bool = True


def check_truth(path: Path, uid: str, dimension: int) -> TruthCheck:
    """Check the pages, the write-ahead log, and every row against its checksum; changes nothing, and raises nothing for damage."""
    check = TruthCheck()
    try:
        with at_rest(path) as connection:
            version = check_format(connection, path, FORMAT)
            check_pages(connection, path, check.damage)
            _check_owner(connection, path, uid)
            rows = _Rows(path.name, dimension, check.damage)
            rows.check_namespaces(connection)
            check.records = rows.namespaces
            last = rows.check_records(connection, version)
            check.segments = registered_segments(connection)
            if version >= SNAPSHOT_VERSION:
                check.snapshot = registered_snapshot(connection)
                journal = connection.execute("SELECT internal_id, sequence, checksum FROM journal")
                check.sound_journal = all(journal_is_sound(*row) for row in journal)
            _check_numbering(connection, path, last, check)
    except VecgateError as error:
        check.damage.add(error.message)
    return check


def check_pages(connection: sqlite3.Connection, path: Path, damage: Damage) -> None:
    """Let SQLite check every page of a file, and its indexes against its tables."""
    for (verdict,) in connection.execute(f"PRAGMA integrity_check({LISTED})"):
        if verdict != "ok":
            damage.add(f"{path.name} is damaged: {verdict}")


class _Rows:
    """Goes through the rows of a truth, and counts them by namespace in `namespaces`."""

    def __init__(self, file: str, dimension: int, damage: Damage) -> None:
        self._file = file
        self._vector_bytes = dimension * VECTOR_DTYPE.itemsize
        self._damage = damage
        self._names: dict[Any, str] = {}
        self.namespaces: Counter[str] = Counter()

    def check_namespaces(self, connection: sqlite3.Connection) -> None:
        """Read the names of all namespaces."""
        for number, name, checksum in connection.execute("SELECT id, CAST(name AS BLOB), checksum FROM namespaces"):
            self._attempt(verify_namespace, number, name, checksum)
            self._names[number] = (name or b"").decode(errors="replace")

    def check_records(self, connection: sqlite3.Connection, version: int) -> int:
        """Compare all contents with their checksums, and return the last internal id, 0 without records."""
        last = with_vector = 0
        for row in connection.execute(_every_row(version)):
            key, (vector, *_) = RowKey(*row[:3]), row[7:]
            last = key.internal_id
            with_vector += vector is not None
            self._check_contents(key, row[3:])
            if key.namespace in self._names:
                self.namespaces[self._names[key.namespace]] += 1
            else:
                self._damage.add(f"{self._file} is damaged: namespace {key.namespace} has no name")
        (vectors,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
        if vectors != with_vector:
            self._damage.add(f"{self._file} is damaged: {vectors - with_vector} vectors belong to no record")
        return last

    def _check_contents(self, key: RowKey, columns: Sequence[Any]) -> None:
        metadata, checksum, text, text_checksum, vector, vector_checksum, stamp, stamp_checksum = columns
        self._attempt(key.verify, METADATA, metadata, checksum)
        self._attempt(key.verify, TEXT, text, text_checksum)
        if self._attempt(key.verify, VECTOR, vector, vector_checksum) and len(vector) != self._vector_bytes:
            self._damage.add(
                f"{self._file} is damaged: the vector of record {key.record_id.decode()!r} has {len(vector)} bytes,"
                f" not {self._vector_bytes}"
            )
        if (stamp, stamp_checksum) != (None, None):
            self._attempt(key.verify, ENCODING_STAMP, stamp, stamp_checksum)

    def _attempt(self, verify: Any, *values: object) -> bool:
        try:
            verify(*values)
        except StorageCorruptError as error:
            self._damage.add(error.message)
            return False
        return True


def _every_row(version: int) -> str:
    """Return the SELECT of a RowKey, and of each part of the contents with its checksum."""
    stamp = "encoding_stamp, encoding_stamp_checksum" if version >= STAMPED_VERSION else "NULL, NULL"
    return (
        "SELECT records.internal_id, namespace, CAST(id AS BLOB), CAST(metadata AS BLOB), records.checksum,"  # noqa: S608  # nothing of a caller's in it
        f" CAST(text AS BLOB), text_checksum, vector, vectors.checksum, {stamp}"
        " FROM records LEFT JOIN vectors USING (internal_id) ORDER BY records.internal_id"
    )


def _check_owner(connection: sqlite3.Connection, path: Path, uid: str) -> None:
    if connection.execute("SELECT value FROM meta WHERE key = 'uid'").fetchone() != (uid,):
        raise StorageCorruptError(f"{path.name} belongs to another collection")


def _check_numbering(connection: sqlite3.Connection, path: Path, last: int, check: TruthCheck) -> None:
    """Check the counters: internal ids must never be given again, nor numbers of commits."""
    given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    ends: list[object] = [row.last_internal_id for row in check.segments or ()]
    used = max([last, *(end for end in ends if isinstance(end, int))])  # a damaged row has values of any type
    if used and (given is None or not isinstance(given[0], int) or given[0] < used):
        check.damage.add(f"{path.name} is damaged: internal ids up to {used} are used, and would be given again")
    sequence = connection.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()
    if sequence is None or not isinstance(sequence[0], int) or sequence[0] < 0:
        check.damage.add(f"{path.name} is damaged: the number of its last commit cannot be read")
