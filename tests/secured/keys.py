"""Keys of every kind, in a file as `vecgate-server keys` writes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vecgate_server.security.api_key import hash_of, new_key
from vecgate_server.security.keys_file import KeyEntry, write_keys

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
OWN, FOREIGN = "own", "foreign"
"""The namespace that the tenant's keys are bound to, and another one."""
RIGHTS: dict[str, dict[str, Any]] = {
    "root": {"scope": "admin"},
    "reader": {"scope": "read"},
    "writer": {"scope": "write"},
    "elsewhere": {"scope": "admin", "collections": ("elsewhere", "other-*")},
    "tenant": {"scope": "write", "namespace": OWN},
    "tenant_reader": {"scope": "read", "namespace": OWN},
    "revoked": {"scope": "admin", "revoked": YESTERDAY},
    "expired": {"scope": "admin", "expires": YESTERDAY},
}


class KeyFile:
    """The keys by what they are for, and the file that holds their hashes."""

    def __init__(self, path: Path, rights: dict[str, dict[str, Any]] | None = None) -> None:
        self.path = path
        self.keys: dict[str, str] = {}
        self._entries: dict[str, KeyEntry] = {}
        for name, given in (RIGHTS if rights is None else rights).items():
            self.add(name, **given)
        self.write()

    def __getitem__(self, name: str) -> str:
        return self.keys[name]

    def add(self, name: str, **given: Any) -> None:
        """Make a key; it is in the file after the next write()."""
        identifier, self.keys[name] = new_key()
        self._entries[name] = KeyEntry(id=identifier, hash=hash_of(self.keys[name]), created=datetime.now(UTC), **given)

    def change(self, name: str, **changes: Any) -> None:
        """Change what a key may do, and write the file."""
        self._entries[name] = self._entries[name].model_copy(update=changes)
        self.write()

    def id_of(self, name: str) -> str:
        """Return the public id of a key."""
        return self._entries[name].id

    def secrets_in(self, text: str) -> list[str]:
        """Return the names of the keys whose secret, or the hash of it, stands in a text."""
        return [
            name for name, key in self.keys.items() if key.split("_", 2)[2] in text or self._entries[name].hash in text
        ]

    def write(self) -> None:
        """Write the file."""
        write_keys(self.path, {entry.id: entry for entry in self._entries.values()})
