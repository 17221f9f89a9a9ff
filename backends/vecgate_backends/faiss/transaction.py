"""What a write operation may do to the truth between BEGIN and COMMIT."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from vecgate_backends.faiss.codec import decode_metadata_of, encode_metadata, encode_vector
from vecgate_backends.faiss.manifest import SegmentRow, SnapshotRow
from vecgate_backends.faiss.row_checksum import (
    ENCODING_STAMP,
    METADATA,
    TEXT,
    VECTOR,
    RowKey,
    checksums,
    journal_checksum,
    namespace_checksum,
    verify_all,
    verify_namespace,
)
from vecgate_backends.faiss.row_lots import ROWS_A_STATEMENT, execute_on, insert_rows, lots
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

    After any error it must be rolled back, if it is still open: an insert that fails leaves the rows before the one that made it fail.
    What reads stored contents raises StorageCorruptError if they do not match their checksum.
    """

    def __init__(self, connection: sqlite3.Connection, journaled_to: int = 0) -> None:
        """Begin within an open transaction; changes of versions up to `journaled_to` are noted in the journal."""
        self._connection = connection
        self._journaled_to = journaled_to
        # What its operations ask for again and again.
        self._namespaces: dict[str, int] = {}
        self._next_internal_id: int | None = None

    def namespace(self, name: str) -> int:
        """Return the number of a namespace, giving it one if need be."""
        if name not in self._namespaces:
            self._namespaces[name] = self._namespace(name)
        return self._namespaces[name]

    def _namespace(self, name: str) -> int:
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

    def stored(self, namespace: int, ids: Sequence[str]) -> dict[str, Version]:
        """Return the stored versions of those of these records that exist; each is named once."""
        query = SELECT_VERSIONS + " WHERE namespace = ? AND id IN"
        found = execute_on(self._connection, query, ids, namespace)
        return {version.key.record_id.decode(): version for rows in found for version in _versions(rows)}

    def all_stored(self, namespace: int) -> list[Version]:
        """Return every version of a namespace."""
        rows = self._connection.execute(SELECT_VERSIONS + " WHERE namespace = ?", (namespace,))
        found: list[Version] = []
        while some := rows.fetchmany(ROWS_A_STATEMENT):
            found += _versions(some)
        return found

    def insert(self, namespace: int, versions: Sequence[NewVersion]) -> range:
        """Store new versions and return their internal ids, above every one given before."""
        first = self._following()
        self._next_internal_id = first + len(versions)
        keyed = [
            (RowKey(internal_id, namespace, version.id.encode()), version)
            for internal_id, version in enumerate(versions, first)
        ]
        # One table after the other, so that pages of each lie together in the file.
        for made, insert in ((_record_rows, _INSERT_RECORDS), (_vector_rows, _INSERT_VECTORS)):
            for lot in lots(keyed, [_size(version) for version in versions]):
                keys, own = zip(*lot, strict=True)
                insert_rows(self._connection, insert, made(keys, own))
        return range(first, self._next_internal_id)

    def _following(self) -> int:
        """Return the internal id above every one given before."""
        if self._next_internal_id is None:
            given = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
            self._next_internal_id = 1 if given is None else given[0] + 1
        return self._next_internal_id

    def delete(self, internal_ids: Sequence[int]) -> None:
        """Delete versions."""
        self._note(internal_ids)
        for statement in ("DELETE FROM vectors WHERE internal_id IN", "DELETE FROM records WHERE internal_id IN"):
            deque(execute_on(self._connection, statement, internal_ids), maxlen=0)

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

    def set_metadata(self, versions: Sequence[Version], metadata: Sequence[Metadata]) -> None:
        """Change the metadata of versions in place."""
        internal_ids = [version.internal_id for version in versions]
        self._note(internal_ids)
        texts = [encode_metadata(own) for own in metadata]
        keys = [version.key for version in versions]
        self._connection.executemany(
            "UPDATE records SET metadata = ?, checksum = ? WHERE internal_id = ?",
            zip(texts, checksums(METADATA, keys, [text.encode() for text in texts]), internal_ids, strict=True),
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

    def _note(self, internal_ids: Sequence[int]) -> None:
        """Write into the journal which versions this commit deletes or gives other metadata, as far as a snapshot may hold them."""
        noted = [internal_id for internal_id in internal_ids if internal_id <= self._journaled_to]
        if noted:
            sequence = self._next_sequence()
            self._connection.executemany(
                "INSERT OR REPLACE INTO journal (internal_id, sequence, checksum) VALUES (?, ?, ?)",
                ((internal_id, sequence, journal_checksum(internal_id, sequence)) for internal_id in noted),
            )


def _versions(rows: Sequence[Sequence[Any]]) -> Iterator[Version]:
    """Make versions of rows of SELECT_VERSIONS, once they match their checksums."""
    for some in lots(rows, [len(row[3] or b"") for row in rows]):
        keys = [RowKey(*row[:3]) for row in some]
        metadata = [row[3] for row in some]
        verify_all(METADATA, keys, metadata, [row[4] for row in some])
        yield from map(Version, keys, decode_metadata_of(metadata))


def _size(version: NewVersion) -> int:
    """Return about how many bytes it has: metadata, of which a record may have little, do not count."""
    return len(version.text or "") + version.vector.nbytes


def _record_rows(keys: Sequence[RowKey], versions: Sequence[NewVersion]) -> list[tuple[object, ...]]:
    metadata = [encode_metadata(version.metadata) for version in versions]
    of_metadata = checksums(METADATA, keys, [text.encode() for text in metadata])
    texts = [version.text for version in versions]
    of_texts = checksums(TEXT, keys, [None if text is None else text.encode() for text in texts])
    return [
        (key.internal_id, key.namespace, version.id, *columns)
        for key, version, *columns in zip(keys, versions, metadata, of_metadata, of_texts, texts, strict=True)
    ]


def _vector_rows(keys: Sequence[RowKey], versions: Sequence[NewVersion]) -> list[tuple[object, ...]]:
    vectors = [encode_vector(version.vector) for version in versions]
    rows = zip(keys, versions, checksums(VECTOR, keys, vectors), vectors, strict=True)
    return [
        (key.internal_id, checksum, vector, *_stamp_columns(key, version.encoding_stamp))
        for key, version, checksum, vector in rows
    ]


def _stamp_columns(key: RowKey, stamp: bytes) -> tuple[bytes | None, int | None]:
    return (stamp, key.checksum(ENCODING_STAMP, stamp)) if stamp else (None, None)


_INSERT_RECORDS = "INSERT OR FAIL INTO records (internal_id, namespace, id, metadata, checksum, text_checksum, text)"
_INSERT_VECTORS = "INSERT OR FAIL INTO vectors (internal_id, checksum, vector, encoding_stamp, encoding_stamp_checksum)"
