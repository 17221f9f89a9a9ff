"""The truth of one collection, a SQLite file with the tables of truth_format: how it is read.

Every written version of a record has an internal id of its own, larger than all before it and never given again. So a segment of the
index is a fixed list of (internal id, vector), and a record is in the index exactly if its internal id is still in `records`:
whatever a derived file says, a deleted record cannot come back. A snapshot says which internal ids there were at a commit; `journal` has
those of them that were deleted or got other metadata since, and counts and sums of internal ids must come out as those of `records`.

Contents carry checksums (row_checksum tells their layout) and are compared with them whenever they are read. That of `records` covers
the metadata; texts have their own, so that a start need not read them. An encoding stamp stands beside the vector it tells of; a
record without one has neither stamp nor checksum.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss.codec import VECTOR_DTYPE, decode_metadata_of, decode_vector
from vecgate_backends.faiss.database import create_database, open_database, translated_errors, upgrade_database
from vecgate_backends.faiss.manifest import SegmentRow, SnapshotRow, registered_segments, registered_snapshot
from vecgate_backends.faiss.row_checksum import (
    ENCODING_STAMP,
    METADATA,
    TEXT,
    VECTOR,
    RowKey,
    journal_is_sound,
    verify_all,
    verify_namespace,
)
from vecgate_backends.faiss.row_lots import execute_on, lots
from vecgate_backends.faiss.truth_format import FORMAT
from vecgate_backends.records import Fields, FloatMatrix, MetadataValue, Record

LOT = 1024
"""Records that are read and decoded together."""


class IndexedRecord(NamedTuple):
    """What the memory of a collection keeps of a record beside its vector."""

    internal_id: int
    namespace: str
    id: str
    metadata: dict[str, MetadataValue]


def create_truth(path: Path, uid: str) -> None:
    """Make the empty truth of the collection with this uid."""
    create_database(path, replace(FORMAT, schema=f"{FORMAT.schema}; {_OWNER.format(uid=uid)}"))


def open_truth(path: Path, uid: str, *, thorough: bool = True) -> sqlite3.Connection:
    """Open the truth of a collection; `thorough` as in open_database. A file of an older version becomes one of this version.

    Raises:
        StorageCorruptError: as open_database, or the file belongs to another collection.
        StorageFullError: there is no room to upgrade it.
    """
    connection = open_database(path, FORMAT, thorough=thorough)
    try:
        with translated_errors(path):
            owner = connection.execute("SELECT value FROM meta WHERE key = 'uid'").fetchone()
    except BaseException:
        connection.close()
        raise
    if owner != (uid,):
        connection.close()
        raise StorageCorruptError(f"{path} belongs to another collection")
    try:
        upgrade_database(connection, path, FORMAT)
    except BaseException:
        connection.close()
        raise
    return connection


class TruthReader:
    """Reads through one connection; pinned, it sees one commit however many follow.

    Every method may raise StorageCorruptError or BackendUnavailableError.
    """

    def __init__(self, path: Path, uid: str) -> None:
        self._path = path
        self._connection = open_truth(path, uid)

    def pin(self) -> None:
        """See what is committed now, and nothing later, until the next pin or release."""
        self.release()
        self._connection.execute("BEGIN")
        self.sequence()  # a transaction takes its snapshot with the first read

    def release(self) -> None:
        """See every commit again."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def sequence(self) -> int:
        """Return the number of the last commit of records."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'sequence'")[0][0])

    def segments(self) -> list[SegmentRow]:
        """Return every registered segment."""
        with translated_errors(self._path):
            return registered_segments(self._connection)

    def snapshot(self) -> SnapshotRow | None:
        """Return the registered snapshot."""
        with translated_errors(self._path):
            return registered_snapshot(self._connection)

    def journal(self, snapshot: SnapshotRow) -> NDArray[np.int64]:
        """Return the versions of a snapshot that were deleted or got other metadata since, ascending.

        Raises:
            StorageCorruptError: a row of the journal does not match its checksum.
        """
        rows = self._rows("SELECT internal_id, sequence, checksum FROM journal ORDER BY internal_id")
        if not all(journal_is_sound(*row) for row in rows):
            raise StorageCorruptError(f"{self._path.name} is damaged: its journal does not match its checksums")
        since = [internal_id for internal_id, sequence, _ in rows if sequence > snapshot.sequence]
        internal_ids = np.array(since, np.int64)
        return internal_ids[internal_ids <= snapshot.last_internal_id]

    def tally(self) -> dict[str, tuple[int, int]]:
        """Return of each namespace how many versions are stored and the sum of their internal ids; reads no record."""
        names = self._namespaces()
        rows = self._rows("SELECT namespace, count(*), sum(internal_id) FROM records GROUP BY namespace")
        return {names.get(number, ""): (count, total) for number, count, total in rows}

    def indexed_records(self, behind: int = 0) -> Iterator[IndexedRecord]:
        """Yield every record whose internal id is greater than `behind`, by internal id."""
        yield from self._indexed(SELECT_VERSIONS + " WHERE internal_id > ? ORDER BY internal_id", [behind])

    def changed_records(self, snapshot: SnapshotRow) -> Iterator[IndexedRecord]:
        """Yield those of the versions of journal(snapshot) that are still stored, by internal id."""
        joined = " JOIN journal USING (internal_id) WHERE sequence > ? AND internal_id <= ? ORDER BY internal_id"
        yield from self._indexed(SELECT_VERSIONS + joined, [snapshot.sequence, snapshot.last_internal_id])

    def _indexed(self, query: str, values: Sequence[object]) -> Iterator[IndexedRecord]:
        names = self._namespaces()
        with translated_errors(self._path):
            rows = self._connection.execute(query, values)
            while lot := rows.fetchmany(LOT):
                keys, stored = [RowKey(*row[:3]) for row in lot], [row[3] for row in lot]
                verify_all(METADATA, keys, stored, [row[4] for row in lot])
                for (internal_id, number, record_id), metadata in zip(keys, decode_metadata_of(stored), strict=True):
                    if number not in names:
                        raise StorageCorruptError(f"{self._path.name} is damaged: namespace {number} has no name")
                    yield IndexedRecord(internal_id, names[number], record_id.decode(), metadata)

    def numbers(self) -> dict[str, int]:
        """Return the number of each namespace."""
        return {name: number for number, name in self._namespaces().items()}

    def vectors(self, keys: Sequence[RowKey], dimension: int) -> FloatMatrix:
        """Return the original vectors of these versions, ascending by internal id, shape (len(keys), dimension)."""
        matrix = np.empty((len(keys), dimension), np.float32)
        internal_ids = np.array([key.internal_id for key in keys], np.int64)
        with translated_errors(self._path), closing(self._stored_vectors(internal_ids)) as stored:
            for row, key in enumerate(keys):
                # Where a row is missing, the next one or none is taken for it, and does not match.
                vector, checksum = next(stored, (b"", None))
                key.verify(VECTOR, vector, checksum)
                matrix[row] = np.frombuffer(vector, VECTOR_DTYPE)
        return matrix

    def _stored_vectors(self, internal_ids: NDArray[np.int64]) -> Generator[tuple[bytes, int | None]]:
        """Yield the stored bytes and checksums of the vectors that exist; one query for each run of consecutive ids."""
        query = "SELECT vector, checksum FROM vectors WHERE internal_id BETWEEN ? AND ? ORDER BY internal_id"
        breaks = np.flatnonzero(np.diff(internal_ids) != 1)
        firsts = internal_ids[np.append(0, breaks + 1)].tolist()
        lasts = internal_ids[np.append(breaks, len(internal_ids) - 1)].tolist()
        for run in zip(firsts, lasts, strict=True):
            yield from self._connection.execute(query, run)

    def by_internal_id(self, internal_ids: Sequence[int], fields: Fields) -> dict[int, Record]:
        """Return those of these versions that are still stored."""
        query = _selection(fields) + " WHERE records.internal_id IN"
        found: dict[int, Record] = {}
        with translated_errors(self._path):
            for rows in execute_on(self._connection, query, internal_ids):
                found.update(zip([row[0] for row in rows], _records(rows, fields), strict=True))
        return found

    def by_id(self, namespace: str, ids: Sequence[str], fields: Fields) -> dict[str, Record]:
        """Return those of the records with these ids that are stored."""
        query = _selection(fields) + " WHERE records.namespace = ? AND records.id IN"
        number = self._namespace(namespace)
        with translated_errors(self._path):
            found = execute_on(self._connection, query, ids, number)
            return {record.id: record for rows in found for record in _records(rows, fields)}

    def page(self, namespace: str, after: str | None, limit: int, fields: Fields) -> list[Record]:
        """Return up to `limit` records in the order of their ids, beginning behind `after`."""
        query = _selection(fields) + " WHERE records.namespace = ? AND records.id > ? ORDER BY records.id LIMIT ?"
        # No id is empty, so the empty string stands before the first.
        rows = self._rows(query, self._namespace(namespace), after or "", limit)
        return list(_records(rows, fields))

    def _namespaces(self) -> dict[int, str]:
        rows = self._rows("SELECT id, CAST(name AS BLOB), checksum FROM namespaces")
        for row in rows:
            verify_namespace(*row)
        return {number: name.decode() for number, name, _ in rows}

    def _namespace(self, name: str) -> int:
        rows = self._rows("SELECT id, checksum FROM namespaces WHERE name = ?", name)
        for number, checksum in rows:
            verify_namespace(number, name.encode(), checksum)
        return int(rows[0][0]) if rows else -1  # no row has a negative namespace

    def _rows(self, query: str, *values: object) -> list[Any]:
        with translated_errors(self._path):
            return self._connection.execute(query, values).fetchall()


def _records(rows: Sequence[Sequence[Any]], fields: Fields) -> Iterator[Record]:
    """Make records of rows with the columns of _selection, once what is used of them matches its checksums."""
    for some in lots(rows, [len(row[3] or b"") for row in rows]):
        yield from _records_of_lot(some, fields)


def _records_of_lot(rows: Sequence[Sequence[Any]], fields: Fields) -> Iterator[Record]:
    *columns, metadata, checksum, text, text_checksum, vector, vector_checksum, stamp, stamp_checksum = zip(
        *rows, strict=True
    )
    keys = list(map(RowKey, *columns))
    verify_all(METADATA, keys, metadata, checksum)
    if fields.text:
        verify_all(TEXT, keys, text, text_checksum)
    if fields.vector:
        verify_all(VECTOR, keys, vector, vector_checksum)
    for key, own, claimed in zip(keys, stamp, stamp_checksum, strict=True):
        if (own, claimed) != (None, None):
            key.verify(ENCODING_STAMP, own, claimed)
    return map(
        Record,
        [key.record_id.decode() for key in keys],
        [None if own is None else own.decode() for own in text],
        _chosen(metadata, fields.metadata),
        map(decode_vector, vector) if fields.vector else repeat(None),
        [own or b"" for own in stamp],
    )


def _selection(fields: Fields) -> str:
    """Return the SELECT whose columns _records reads; what is not asked for is NULL, so that its pages need not be read."""
    text = "CAST(text AS BLOB), text_checksum" if fields.text else "NULL, NULL"
    vector = "vector, vectors.checksum" if fields.vector else "NULL, NULL"
    stamp = "encoding_stamp, encoding_stamp_checksum" if fields.encoding_stamp else "NULL, NULL"
    source = "records LEFT JOIN vectors USING (internal_id)" if fields.vector or fields.encoding_stamp else "records"
    key_and_metadata = "records.internal_id, namespace, CAST(id AS BLOB), CAST(metadata AS BLOB), records.checksum"
    return f"SELECT {key_and_metadata}, {text}, {vector}, {stamp} FROM {source}"  # noqa: S608  # nothing of a caller's in it


def _chosen(stored: Sequence[bytes], wanted: bool | frozenset[str]) -> list[dict[str, MetadataValue]]:
    """Return the fields that are wanted of each of these texts of metadata; none, all or those of a set."""
    if not wanted:
        return [{} for _ in stored]
    decoded = decode_metadata_of(stored)
    if wanted is True:
        return decoded
    return [{field: value for field, value in metadata.items() if field in wanted} for metadata in decoded]


_OWNER = "INSERT INTO meta (key, value) VALUES ('uid', '{uid}')"
SELECT_VERSIONS = (
    "SELECT records.internal_id, namespace, CAST(id AS BLOB), CAST(metadata AS BLOB), records.checksum FROM records"
)
"""A RowKey, the metadata and the checksum of both. Cast, as damage would else fail as text that is not UTF-8, with no word of whose."""
