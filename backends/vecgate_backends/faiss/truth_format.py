"""The tables of a collection's truth, and how files of older versions get them.

Version 2 added encoding stamps. Version 3 added `snapshots`, at most one row, and `journal`: the versions that a snapshot may hold and that were
deleted or got other metadata since, with the last such commit.
"""

from __future__ import annotations

from types import MappingProxyType

from vecgate_backends.faiss.database import Format

STAMPED_VERSION = 2
"""The first version with encoding stamps."""
SNAPSHOT_VERSION = 3
"""The first version with snapshots."""

_SNAPSHOTS = """CREATE TABLE snapshots (
            uuid TEXT PRIMARY KEY,
            sequence INTEGER NOT NULL,
            last_internal_id INTEGER NOT NULL,
            records INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            file_version INTEGER NOT NULL
        ) WITHOUT ROWID"""
_JOURNAL = (
    "CREATE TABLE journal (internal_id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL)"
)
_META = "INSERT INTO meta (key, value) VALUES ('sequence', 0)"

FORMAT = Format(
    application_id=0x76677263,  # "vgrc"
    version=3,
    # `text` stands last, so that reading the columns before it does not touch the pages that long texts overflow to.
    schema="""
        CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
        CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, checksum INTEGER NOT NULL);
        CREATE TABLE records (
            internal_id INTEGER PRIMARY KEY AUTOINCREMENT,
            namespace INTEGER NOT NULL REFERENCES namespaces (id),
            id TEXT NOT NULL,
            metadata TEXT NOT NULL,
            checksum INTEGER NOT NULL,
            text_checksum INTEGER NOT NULL,
            text TEXT,
            UNIQUE (namespace, id)
        );
        CREATE TABLE vectors (
            internal_id INTEGER PRIMARY KEY,
            checksum INTEGER NOT NULL,
            vector BLOB NOT NULL,
            encoding_stamp BLOB,
            encoding_stamp_checksum INTEGER
        );
        CREATE TABLE segments (
            uuid TEXT PRIMARY KEY,
            namespace INTEGER NOT NULL REFERENCES namespaces (id),
            kind TEXT NOT NULL,
            parameters TEXT NOT NULL,
            count INTEGER NOT NULL,
            checksum BLOB NOT NULL,
            first_internal_id INTEGER NOT NULL,
            last_internal_id INTEGER NOT NULL,
            file_version INTEGER NOT NULL
        ) WITHOUT ROWID;
    """
    f"{_SNAPSHOTS}; {_JOURNAL}; {_META}",
    upgrades=MappingProxyType(
        {
            # A new column costs the same for any number of rows: those that are there read as NULL, no stamp.
            1: (
                "ALTER TABLE vectors ADD COLUMN encoding_stamp BLOB",
                "ALTER TABLE vectors ADD COLUMN encoding_stamp_checksum INTEGER",
            ),
            2: (_SNAPSHOTS, _JOURNAL),
        }
    ),
)
