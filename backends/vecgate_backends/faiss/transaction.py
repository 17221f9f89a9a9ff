"""What a write operation may do to the truth between BEGIN and COMMIT."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from vecgate_backends.faiss.codec import decode_metadata, encode_metadata, encode_vector
from vecgate_backends.faiss.manifest import SegmentRow, SnapshotRow
from vecgate_backends.faiss.row_checksum import (
    ENCODING_STAMP,
    METADATA,
    TEXT,
    VECTOR,
    RowKey,
    journal_checksum,
    namespace_checksum,
    verify_namespace,
)
from vecgate_backends.faiss.truth import SELECT_VERSIONS
from vecgate_backends.records import FloatVector, Metadata, MetadataValue


@dataclass(frozen=True, slots=True)
class Version:
    """The stored version of a record, as an operation sees it."""

    key: RowKey
    metadata: dict[str, MetadataValue]

    @property
    def internal_id(self) -> int:
        """Its number."""
        return self.key.internal_id


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to store; `vector` has shape (dimension,), as the caller gave it."""

    id: str
    text: str | None
    metadata: Metadata
    vector: FloatVector
    encoding_stamp: bytes


class Transaction:
    """The open transaction of the writer's connection; sqlite3's errors pass through.

    What reads stored contents raises StorageCorruptError if they do not match their checksum.
    """

    def __init__(self, connection: sqlite3.Connection, journaled_to: int = 0) -> None:
        """Begin within an open transaction; changes of versions up to `journaled_to` are noted in the journal."""
        self._connection = connection
        self._journaled_to = journaled_to

    def namespace(self, name: str) -> int:
        """Return the number of a namespace, giving it one if need be."""
        row = self._connection.execute("SELECT id, checksum FROM namespaces WHERE name = ?", (name,)).fetchone()
        if row is not None:
            verify_namespace(row[0], name.encode(), row[1])
            return int(row[0])
        (number,) = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM namespaces").fetchone()
        self._connection.execute(
            "INSERT INTO namespaces (id, name, checksum) VALUES (?, ?, ?)",
            (number, name, namespace_checksum(number, name.encode())),
        )
        return int(number)

    def stored(self, namespace: int, ids: Iterable[str]) -> dict[str, Version]:
        """Return the stored versions of those of these records that exist."""
        query = SELECT_VERSIONS + " WHERE namespace = ? AND id = ?"
        found = {}
        for record_id in ids:
            row = self._connection.execute(query, (namespace, record_id)).fetchone()
            if row is not None:
                found[record_id] = _version(*row)
        return found

    def all_stored(self, namespace: int) -> list[Version]:
        """Return every version of a namespace."""
        query = SELECT_VERSIONS + " WHERE namespace = ?"
        return [_version(*row) for row in self._connection.execute(query, (namespace,))]

    def insert(self, namespace: int, versions: Sequence[NewVersion]) -> range:
        """Store new versions and return their internal ids, above every one given before."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        first = 1 if row is None else row[0] + 1
        internal_ids = range(first, first + len(versions))
        keys = [
            RowKey(internal_id, namespace, version.id.encode())
            for internal_id, version in zip(internal_ids, versions, strict=True)
        ]
        self._connection.executemany(
            "INSERT INTO records (internal_id, namespace, id, metadata, checksum, text_checksum, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            map(_record_row, keys, versions),
        )
        self._connection.executemany(
            "INSERT INTO vectors (internal_id, checksum, vector, encoding_stamp, encoding_stamp_checksum)"
            " VALUES (?, ?, ?, ?, ?)",
            map(_vector_row, keys, versions),
        )
        return internal_ids

    def delete(self, internal_ids: Iterable[int]) -> None:
        """Delete versions."""
        rows = [(internal_id,) for internal_id in internal_ids]
        self._note(internal_id for (internal_id,) in rows)
        self._connection.executemany("DELETE FROM vectors WHERE internal_id = ?", rows)
        self._connection.executemany("DELETE FROM records WHERE internal_id = ?", rows)

    def clear(self, namespace: int) -> int:
        """Delete every version of a namespace and return how many there were."""
        query = "SELECT internal_id FROM records WHERE namespace = ? AND internal_id <= ?"
        rows = self._connection.execute(query, (namespace, self._journaled_to))
        self._note([internal_id for (internal_id,) in rows])
        self._connection.execute(
            "DELETE FROM vectors WHERE internal_id IN (SELECT internal_id FROM records WHERE namespace = ?)",
            (namespace,),
        )
        return self._connection.execute("DELETE FROM records WHERE namespace = ?", (namespace,)).rowcount

    def set_metadata(self, version: Version, metadata: Metadata) -> None:
        """Change the metadata of a version in place."""
        self._note((version.internal_id,))
        text = encode_metadata(metadata)
        checksum = version.key.checksum(METADATA, text.encode())
        self._connection.execute(
            "UPDATE records SET metadata = ?, checksum = ? WHERE internal_id = ?", (text, checksum, version.internal_id)
        )

    def replace_segments(self, new: SegmentRow | None, replaced: Iterable[str]) -> None:
        """Register a segment in the place of others."""
        self._connection.executemany("DELETE FROM segments WHERE uuid = ?", ((uuid,) for uuid in replaced))
        if new is not None:
            number = self.namespace(new.namespace)
            uuid, _, *others = astuple(new)
            self._connection.execute(
                "INSERT INTO segments (uuid, namespace, kind, parameters, count, checksum, first_internal_id,"
                " last_internal_id, file_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (uuid, number, *others),
            )

    def replace_snapshot(self, new: SnapshotRow) -> None:
        """Register a snapshot in the place of the one before; what it covers need not stand in the journal any more."""
        self._connection.execute("DELETE FROM snapshots")
        self._connection.execute(
            "INSERT INTO snapshots (uuid, sequence, last_internal_id, records, checksum, file_version)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            astuple(new),
        )
        # None can be of a later commit than this; damage could make one seem so, and it would stay for good.
        self._connection.execute(
            "DELETE FROM journal WHERE sequence <= ? OR sequence > ? OR internal_id > ?",
            (new.sequence, self._next_sequence(), new.last_internal_id),
        )

    def advance_sequence(self) -> int:
        """Count this commit and return its number."""
        (sequence,) = self._connection.execute(
            "UPDATE meta SET value = value + 1 WHERE key = 'sequence' RETURNING value"
        ).fetchone()
        return int(sequence)

    def _next_sequence(self) -> int:
        (sequence,) = self._connection.execute("SELECT value + 1 FROM meta WHERE key = 'sequence'").fetchone()
        return int(sequence)

    def _note(self, internal_ids: Iterable[int]) -> None:
        """Write into the journal which versions this commit deletes or gives other metadata, as far as a snapshot may hold them."""
        noted = [internal_id for internal_id in internal_ids if internal_id <= self._journaled_to]
        if noted:
            sequence = self._next_sequence()
            self._connection.executemany(
                "INSERT OR REPLACE INTO journal (internal_id, sequence, checksum) VALUES (?, ?, ?)",
                ((internal_id, sequence, journal_checksum(internal_id, sequence)) for internal_id in noted),
            )


def _version(internal_id: int, namespace: int, record_id: bytes, metadata: bytes, checksum: int) -> Version:
    """Make a version of the columns of SELECT_VERSIONS, once they match their checksum."""
    key = RowKey(internal_id, namespace, record_id)
    key.verify(METADATA, metadata, checksum)
    return Version(key, decode_metadata(metadata.decode()))


def _record_row(key: RowKey, version: NewVersion) -> tuple[int, int, str, str, int, int, str | None]:
    metadata = encode_metadata(version.metadata)
    text = None if version.text is None else version.text.encode()
    checksums = key.checksum(METADATA, metadata.encode()), key.checksum(TEXT, text)
    return key.internal_id, key.namespace, version.id, metadata, *checksums, version.text


def _vector_row(key: RowKey, version: NewVersion) -> tuple[int, int, bytes, bytes | None, int | None]:
    vector = encode_vector(version.vector)
    stamp = version.encoding_stamp
    stamp_columns = (stamp, key.checksum(ENCODING_STAMP, stamp)) if stamp else (None, None)
    return key.internal_id, key.checksum(VECTOR, vector), vector, *stamp_columns
