"""The directory of a store: its lock, its catalogue, and the directories of its collections."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from vecgate_backends.errors import (
    ConfigurationError,
    StorageCorruptError,
    VecgateError,
)
from vecgate_backends.faiss.catalogue import Catalogue, CatalogueEntry
from vecgate_backends.faiss.database import sync_path
from vecgate_backends.faiss.disk_errors import translated_disk_errors
from vecgate_backends.faiss.loading import CollectionFiles
from vecgate_backends.faiss.lock import DirectoryLock

logger = logging.getLogger(__name__)


class Store:
    """An open store; its methods block, and one is called at a time."""

    def __init__(self, path: Path, lock: DirectoryLock, catalogue: Catalogue) -> None:
        self._path = path
        self._lock = lock
        self._catalogue = catalogue

    @classmethod
    def open(cls, path: Path) -> Store:
        """Lock and open a store, making an empty one if there is none, and remove what a crash left over.

        Raises:
            StoreLockedError: another process has it.
            StorageCorruptError: the catalogue is missing or damaged.
            ConfigurationError: the directory cannot be used.
        """
        try:
            _make_directory(path)
            lock = DirectoryLock(path)
        except OSError as refused:
            raise _unusable(path, refused.strerror or str(refused)) from refused
        try:
            return cls._open_locked(path, lock)
        except StorageCorruptError:
            lock.release()
            raise
        except (OSError, VecgateError) as refused:
            lock.release()
            raise _unusable(path, str(refused)) from refused

    @classmethod
    def _open_locked(cls, path: Path, lock: DirectoryLock) -> Store:
        collections = path / "collections"
        catalogue = Catalogue.open_or_create(path / "catalogue.db", collections)
        try:
            collections.mkdir(exist_ok=True)
            store = cls(path, lock, catalogue)
            for uid in catalogue.leftovers():
                store.remove_files(uid)
            known = {entry.uid for entry in catalogue.entries()}
            for directory in sorted(collections.iterdir()):
                if directory.name not in known:
                    logger.warning("%s belongs to no collection of the catalogue; it is left as it is", directory)
        except BaseException:
            catalogue.close()
            raise
        return store

    def entries(self) -> list[CatalogueEntry]:
        """Return all collections, by name."""
        return self._catalogue.entries()

    def files(self, uid: str) -> CollectionFiles:
        """Return where the files of a collection lie."""
        return CollectionFiles(self._path / "collections" / uid, uid)

    def create(self, entry: CatalogueEntry) -> None:
        """Make an empty collection, durably and completely or not at all.

        Raises:
            StorageFullError, BackendUnavailableError: it cannot be made.
        """
        with translated_disk_errors(f"collection {entry.spec.name!r} cannot be made"):
            self._catalogue.begin_collection(entry.uid)
            self.files(entry.uid).create()
            sync_path(self._path / "collections")
            self._catalogue.add(entry)

    def update(self, entry: CatalogueEntry) -> None:
        """Keep other settings of a collection, durably."""
        self._catalogue.update(entry)

    def remove(self, entry: CatalogueEntry) -> None:
        """Delete a collection from the catalogue; its files are to be removed next."""
        self._catalogue.remove(entry)

    def remove_files(self, uid: str) -> None:
        """Remove the directory of a collection that the catalogue has no more; what resists is removed at the next start."""
        try:
            shutil.rmtree(self.files(uid).directory)
        except FileNotFoundError:
            pass
        except OSError as resisted:
            logger.warning("cannot remove all files of a deleted collection: %s", resisted)
            return
        self._catalogue.forget_leftover(uid)

    def close(self) -> None:
        """Close the catalogue and release the lock."""
        self._catalogue.close()
        self._lock.release()


def _make_directory(path: Path) -> None:
    """Make a directory and those above it, durably."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        sync_path(directory.parent)


def _unusable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"path: the directory {path} cannot be used: {reason}")
