"""What a write operation may do to the truth between BEGIN and COMMIT."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from vecgate_backends.faiss.codec import decode_metadata, encode_metadata, encode_vector
from vecgate_backends.faiss.truth import SegmentRow
from vecgate_backends.records import FloatVector, Metadata, MetadataValue


@dataclass(frozen=True, slots=True)
class Version:
    """The stored version of a record, as an operation sees it."""

    internal_id: int
    id: str
    metadata: dict[str, MetadataValue]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to store; `vector` has shape (dimension,), as the caller gave it."""

    id: str
    text: str | None
    metadata: Metadata
    vector: FloatVector


class Transaction:
    """The open transaction of the writer's connection; sqlite3's errors pass through."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def namespace(self, name: str) -> int:
        """Return the number of a namespace, giving it one if need be."""
        self._connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
        (number,) = self._connection.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()
        return int(number)

    def stored(self, namespace: int, ids: Iterable[str]) -> dict[str, Version]:
        """Return the stored versions of those of these records that exist."""
        query = "SELECT internal_id, metadata FROM records WHERE namespace = ? AND id = ?"
        found = {}
        for record_id in ids:
            row = self._connection.execute(query, (namespace, record_id)).fetchone()
            if row is not None:
                found[record_id] = Version(row[0], record_id, decode_metadata(row[1]))
        return found

    def all_stored(self, namespace: int) -> list[Version]:
        """Return every version of a namespace."""
        query = "SELECT internal_id, id, metadata FROM records WHERE namespace = ?"
        rows = self._connection.execute(query, (namespace,))
        return [Version(internal_id, record_id, decode_metadata(text)) for internal_id, record_id, text in rows]

    def insert(self, namespace: int, versions: Sequence[NewVersion]) -> range:
        """Store new versions and return their internal ids, above every one given before."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        first = 1 if row is None else row[0] + 1
        internal_ids = range(first, first + len(versions))
        self._connection.executemany(
            "INSERT INTO records (internal_id, namespace, id, metadata, text) VALUES (?, ?, ?, ?, ?)",
            (
                (internal_id, namespace, version.id, encode_metadata(version.metadata), version.text)
                for internal_id, version in zip(internal_ids, versions, strict=True)
            ),
        )
        self._connection.executemany(
            "INSERT INTO vectors (internal_id, vector) VALUES (?, ?)",
            (
                (internal_id, encode_vector(version.vector))
                for internal_id, version in zip(internal_ids, versions, strict=True)
            ),
        )
        return internal_ids

    def delete(self, internal_ids: Iterable[int]) -> None:
        """Delete versions."""
        rows = [(internal_id,) for internal_id in internal_ids]
        self._connection.executemany("DELETE FROM vectors WHERE internal_id = ?", rows)
        self._connection.executemany("DELETE FROM records WHERE internal_id = ?", rows)

    def clear(self, namespace: int) -> int:
        """Delete every version of a namespace and return how many there were."""
        self._connection.execute(
            "DELETE FROM vectors WHERE internal_id IN (SELECT internal_id FROM records WHERE namespace = ?)",
            (namespace,),
        )
        return self._connection.execute("DELETE FROM records WHERE namespace = ?", (namespace,)).rowcount

    def set_metadata(self, internal_id: int, metadata: Metadata) -> None:
        """Change the metadata of a version in place."""
        self._connection.execute(
            "UPDATE records SET metadata = ? WHERE internal_id = ?", (encode_metadata(metadata), internal_id)
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

    def advance_sequence(self) -> int:
        """Count this commit and return its number."""
        (sequence,) = self._connection.execute(
            "UPDATE meta SET value = value + 1 WHERE key = 'sequence' RETURNING value"
        ).fetchone()
        return int(sequence)
