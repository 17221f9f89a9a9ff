"""The catalogue: which collections a store holds, under which directory and with which settings.

A directory under collections/ is removed only if the catalogue says so (table `leftovers`). A collection being made is a leftover
until the commit that makes it; a collection being deleted is one from the commit that deletes it. So a crash leaves nothing behind,
and a directory that the catalogue does not know, after a careless restore for instance, is never touched.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from vecgate_backends.errors import StorageCorruptError
from vecgate_backends.faiss.codec import decode_spec, encode_spec
from vecgate_backends.faiss.database import Format, create_database, empty_log, open_database, translated_errors
from vecgate_backends.records import CollectionSpec

logger = logging.getLogger(__name__)

FORMAT = Format(
    application_id=0x76676361,  # "vgca"
    version=1,
    schema="""
        CREATE TABLE collections (
            name TEXT PRIMARY KEY,
            uid TEXT NOT NULL UNIQUE,
            spec TEXT NOT NULL,
            created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
        );
        CREATE TABLE leftovers (uid TEXT PRIMARY KEY)
    """,
)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A collection: its uid (32 hex digits, the name of its directory) and its settings."""

    uid: str
    spec: CollectionSpec


class Catalogue:
    """The open catalogue of one store; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_database(path, FORMAT)

    @classmethod
    def open_or_create(cls, path: Path, collections: Path) -> Catalogue:
        """Open the catalogue, or make an empty one in an empty store.

        Raises:
            StorageCorruptError: it is damaged, or missing although there are collections.
        """
        if not path.exists():
            if collections.is_dir() and any(collections.iterdir()):
                raise StorageCorruptError(f"{path} is missing, but there are collections in {collections}")
            create_database(path, FORMAT)
        return cls(path)

    def entries(self) -> list[CatalogueEntry]:
        """Return all collections, by name."""
        return catalogued(self._connection, self._path)

    def leftovers(self) -> list[str]:
        """Return the uids whose directories are to be removed."""
        with translated_errors(self._path):
            return left_over(self._connection)

    def begin_collection(self, uid: str) -> None:
        """Note that the directory of this uid is about to be made."""
        self._change(("INSERT INTO leftovers (uid) VALUES (?)", (uid,)))

    def add(self, entry: CatalogueEntry) -> None:
        """Record a collection whose directory is complete: from here on it exists."""
        self._change(
            ("DELETE FROM leftovers WHERE uid = ?", (entry.uid,)),
            (
                "INSERT INTO collections (name, uid, spec) VALUES (?, ?, ?)",
                (entry.spec.name, entry.uid, encode_spec(entry.spec)),
            ),
        )

    def update(self, entry: CatalogueEntry) -> None:
        """Record other settings of a collection that is there."""
        self._change(("UPDATE collections SET spec = ? WHERE uid = ?", (encode_spec(entry.spec), entry.uid)))

    def remove(self, entry: CatalogueEntry) -> None:
        """Delete a collection: from here on it does not exist, and its directory is a leftover."""
        self._change(
            ("DELETE FROM collections WHERE uid = ?", (entry.uid,)),
            ("INSERT INTO leftovers (uid) VALUES (?)", (entry.uid,)),
        )

    def forget_leftover(self, uid: str) -> None:
        """Note that the directory of this uid is gone."""
        self._change(("DELETE FROM leftovers WHERE uid = ?", (uid,)))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _change(self, *statements: tuple[str, tuple[str, ...]]) -> None:
        """Run statements in one durable transaction.

        The log is emptied after it: were its last commit damaged, a collection that was made would be a leftover again.
        """
        with translated_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    self._connection.execute(statement, values)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        try:
            empty_log(self._connection)
        except sqlite3.Error as error:
            logger.warning("cannot empty the log of %s: %s", self._path, error)


def catalogued(connection: sqlite3.Connection, path: Path) -> list[CatalogueEntry]:
    """Return all collections of an open catalogue, by name.

    Raises:
        StorageCorruptError, BackendUnavailableError: they cannot be read.
    """
    with translated_errors(path):
        rows = connection.execute("SELECT uid, spec FROM collections ORDER BY name").fetchall()
    try:
        return [CatalogueEntry(uid, decode_spec(spec)) for uid, spec in rows]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageCorruptError(f"{path.name} is damaged: settings of a collection cannot be read") from error


def left_over(connection: sqlite3.Connection) -> list[str]:
    """Return the uids of an open catalogue whose directories are to be removed."""
    return [uid for (uid,) in connection.execute("SELECT uid FROM leftovers")]
