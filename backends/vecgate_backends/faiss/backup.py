"""Copying a store while a server has it open, by another process.

Each collection is copied as it was at one commit, which SQLite holds on to while its pages are read; searches and commits go on. The
copy grows under a name of its own, its catalogue comes last, and it gets the name that was asked for when it is whole, checked and
durable. So whatever ends a backup early, nothing that is left of it can be taken for one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from vecgate_backends.errors import (
    ConfigurationError,
    StorageCorruptError,
    StorageFullError,
    StoreLockedError,
    VecgateError,
)
from vecgate_backends.faiss.catalogue import CatalogueEntry, catalogued
from vecgate_backends.faiss.database import sync_path, translated_errors
from vecgate_backends.faiss.disk_errors import translated_disk_errors
from vecgate_backends.faiss.loading import CollectionFiles
from vecgate_backends.faiss.lock import LOCK_NAME, UNFINISHED, DirectoryLock
from vecgate_backends.faiss.manifest import registered_segments, registered_snapshot
from vecgate_backends.faiss.read_only import snapshot
from vecgate_backends.faiss.segment_file import segment_path
from vecgate_backends.faiss.snapshot_file import snapshot_path
from vecgate_backends.faiss.verification import StoreReport, check_store, require_store

PARTIAL = ".partial"
"""Ending of the name of a copy that is not whole."""
PAGES_A_STEP = 4096
"""Pages copied between two chances to be interrupted, 32 MiB."""
ATTEMPTS = 3
"""How often a copy begins anew because a merge removed a segment file between the manifest and the link to the file."""


def backup_store(
    source: Path, destination: Path, *, with_segments: bool = True, checked: bool = True
) -> StoreReport | None:
    """Copy a store, which a server may have open, to a new directory; with `checked` return what a check of the copy found.

    Args:
        source: the directory of the store.
        destination: a directory that does not exist yet, in one that does.
        with_segments: copy the index too, by hard links where both lie on one file system. Without, it is built anew from the records.
        checked: compare all contents of the copy with their checksums before it gets its name.

    Raises:
        ConfigurationError: there is no store, or the destination cannot be used.
        StorageCorruptError: the store is damaged. StorageFullError: the copy does not fit. BackendUnavailableError: the files cannot be
            used. No copy is left then.
    """
    require_store(source)
    partial, lock = _claim(source, destination)
    try:
        with translated_disk_errors(f"{destination} cannot be written"):
            _StoreCopy(source, partial, with_segments=with_segments).run()
            report = _sound_report(partial) if checked else None
            partial.rename(destination)
            sync_path(destination.parent)
            (destination / LOCK_NAME).write_bytes(b"")
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        lock.release()
    return report


class _StoreCopy:
    """The copying of all collections that exist when it ends."""

    def __init__(self, source: Path, target: Path, *, with_segments: bool) -> None:
        self._source = source
        self._target = target
        self._with_segments = with_segments
        self._copied: set[str] = set()
        self._faults: dict[str, VecgateError] = {}

    def run(self) -> None:
        """Copy what the catalogue names until it names nothing else, then the catalogue as it was then."""
        (self._target / "collections").mkdir()
        while missing := self._finish():
            for entry in missing:
                if not self._copy(entry):
                    break

    def _finish(self) -> Sequence[CatalogueEntry]:
        """Return the collections that are not copied yet; if there are none, copy the catalogue and drop what was deleted since.

        Raises:
            VecgateError, OSError: a collection cannot be copied, and was not deleted meanwhile.
        """
        catalogue = self._source / "catalogue.db"
        with snapshot(catalogue) as connection:
            entries = catalogued(connection, catalogue)
            for entry in entries:
                if entry.uid in self._faults:
                    raise self._faults[entry.uid]
            missing = [entry for entry in entries if entry.uid not in self._copied]
            if missing:
                return missing
            copy = self._target / catalogue.name
            _copy_pages(connection, copy)
        with _edited(copy) as connection:
            connection.execute("DELETE FROM leftovers")
        for uid in self._copied - {entry.uid for entry in entries}:
            shutil.rmtree(self._files(uid).directory)
        sync_path(self._target / "collections")
        sync_path(self._target)
        return ()

    def _copy(self, entry: CatalogueEntry) -> bool:
        """Copy a collection; False if it cannot be. Whether that matters, the catalogue tells: a deletion takes the files away after the name."""
        source = CollectionFiles(self._source / "collections" / entry.uid, entry.uid)
        target = self._files(entry.uid)
        try:
            with translated_disk_errors("it cannot be copied"):
                _copy_collection(source, target, with_segments=self._with_segments)
        except VecgateError as fault:
            fault = type(fault)(f"collection {entry.spec.name!r}: {fault.message}")
            if isinstance(fault, StorageFullError):
                raise fault from None
            shutil.rmtree(target.directory, ignore_errors=True)
            self._faults[entry.uid] = fault
            return False
        self._copied.add(entry.uid)
        return True

    def _files(self, uid: str) -> CollectionFiles:
        return CollectionFiles(self._target / "collections" / uid, uid)


def _copy_collection(source: CollectionFiles, target: CollectionFiles, *, with_segments: bool) -> None:
    for further_attempts in reversed(range(ATTEMPTS)):
        target.segments.mkdir(parents=True)
        target.snapshots.mkdir()
        with snapshot(source.truth) as connection:
            uuids = [row.uuid for row in registered_segments(connection)]
            # At once, since a merge removes the files it made others of; what is linked stays.
            lost = [uuid for uuid in uuids if not (with_segments and _link_segment(source, target, uuid))]
            kept = registered_snapshot(connection)
            unlinked = kept is not None and not (with_segments and _link_snapshot(source, target, kept.uuid))
            if not ((lost or unlinked) and with_segments and further_attempts):
                _copy_pages(connection, target.truth)
                break
        shutil.rmtree(target.directory)
    if lost or unlinked:
        with _edited(target.truth) as connection:
            connection.executemany("DELETE FROM segments WHERE uuid = ?", [(uuid,) for uuid in lost])
            if unlinked:
                connection.execute("DELETE FROM snapshots")
                connection.execute("DELETE FROM journal")
    sync_path(target.segments)
    sync_path(target.snapshots)
    sync_path(target.directory)


def _link_segment(source: CollectionFiles, target: CollectionFiles, uuid: str) -> bool:
    """Give the copy a segment file, which nobody ever changes; False if it is gone."""
    return _link(segment_path(source.segments, uuid), segment_path(target.segments, uuid))


def _link_snapshot(source: CollectionFiles, target: CollectionFiles, uuid: str) -> bool:
    """Give the copy a snapshot file, which nobody ever changes either; False if it is gone."""
    return _link(snapshot_path(source.snapshots, uuid), snapshot_path(target.snapshots, uuid))


def _link(original: Path, copy: Path) -> bool:
    try:
        os.link(original, copy)
    except FileNotFoundError:
        return False
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(original, copy)
        except FileNotFoundError:
            return False
        sync_path(copy)
    return True


def _copy_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Copy a file as a snapshot shows it, page by page, durably."""
    with translated_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF").fetchall()  # a copy that fails is removed
        copy.execute("PRAGMA synchronous = OFF")  # it is synced once
        connection.backup(copy, pages=PAGES_A_STEP)
    sync_path(path)


@contextmanager
def _edited(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy to change it in one transaction, and leave it durable, without a log."""
    with translated_errors(path), closing(sqlite3.connect(path)) as connection, connection:
        yield connection
    sync_path(path)


def _sound_report(copy: Path) -> StoreReport:
    report = check_store(copy)
    for where, damage in (
        ("the store", report.damage),
        *((f"collection {collection.name!r}", collection.damage) for collection in report.collections),
    ):
        if damage:
            raise StorageCorruptError(f"no backup was made, since {where} is damaged: {damage.sentences[0]}")
    return report


def _require_free(source: Path, destination: Path) -> None:
    if destination.exists() or destination.is_symlink():
        raise ConfigurationError(f"{destination} exists; a backup makes a directory of its own")
    if destination.resolve().is_relative_to(source.resolve()):
        raise ConfigurationError(f"{destination} lies in the store itself")


def _claim(source: Path, destination: Path) -> tuple[Path, DirectoryLock]:
    """Make and lock the directory that a copy grows in, in the place of what a backup that was killed left there.

    Raises:
        ConfigurationError: it cannot be made, something has one of the names, or another backup is writing there.
    """
    try:
        _require_free(source, destination)
        partial = destination.with_name(destination.name + PARTIAL)
        partial.mkdir(exist_ok=True)
        lock = _locked_copy(partial)
    except StoreLockedError as held:
        raise ConfigurationError(f"another backup is writing {partial}") from held
    except OSError as refused:
        raise ConfigurationError(f"{destination} cannot be made: {refused.strerror}") from refused
    try:
        with translated_disk_errors(f"{partial} cannot be emptied"):
            for left in partial.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != LOCK_NAME:
                    left.unlink()
    except BaseException:
        lock.release()
        raise
    return partial, lock


def _locked_copy(partial: Path) -> DirectoryLock:
    """Lock a directory that is empty or was left by a backup, as its lock file says; everything else is somebody's."""
    mark = partial / LOCK_NAME
    if any(partial.iterdir()) and (not mark.is_file() or mark.read_bytes() not in {b"", UNFINISHED}):
        raise ConfigurationError(f"{partial} is in the way")
    lock = DirectoryLock(partial, unfinished=True)
    names = {path.name for path in partial.iterdir()}
    if names != {LOCK_NAME} and mark.read_bytes() != UNFINISHED:
        lock.release()
        raise ConfigurationError(f"{partial} is in the way")
    mark.write_bytes(UNFINISHED)
    return lock
