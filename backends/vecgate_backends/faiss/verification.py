"""Verifying a store that no server has open: all of the truth, and the files that are derived from it. Nothing on the disk changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vecgate_backends.errors import ConfigurationError, VecgateError
from vecgate_backends.faiss.catalogue import FORMAT, CatalogueEntry, catalogued, left_over
from vecgate_backends.faiss.database import check_format
from vecgate_backends.faiss.loading import CollectionFiles
from vecgate_backends.faiss.lock import LOCK_NAME, DirectoryLock, refuse_unfinished
from vecgate_backends.faiss.manifest import SegmentRow
from vecgate_backends.faiss.read_only import at_rest
from vecgate_backends.faiss.segment_file import SegmentFileError, check_segment, segment_path
from vecgate_backends.faiss.snapshot_file import SnapshotFileError, check_snapshot, snapshot_path
from vecgate_backends.faiss.truth_check import Damage, TruthCheck, check_pages, check_truth

SQLITE_ENDINGS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What was found of a collection.

    Attributes:
        records: namespace → records in it.
        segments: how many the manifest names.
        damage: what is wrong with the truth: it must be mended from a backup.
        derived: what is wrong with derived files, and what the next start does about each; no record is in danger by it.
    """

    name: str
    uid: str
    records: Mapping[str, int]
    segments: int
    damage: Damage
    derived: Sequence[str]


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What was found of a store.

    Attributes:
        damage: what is wrong with the catalogue. remarks: what else lies there.
    """

    path: Path
    collections: Sequence[CollectionReport]
    damage: Damage
    remarks: Sequence[str]

    @property
    def sound(self) -> bool:
        """Whether all of the truth is as it was written."""
        return not self.damage and not any(collection.damage for collection in self.collections)


def verify_store(path: Path) -> StoreReport:
    """Check a store and keep servers from opening it meanwhile; damage is in the report.

    Raises:
        StoreLockedError: a server has it.
        ConfigurationError: there is no store, or it cannot be read.
    """
    require_store(path)
    try:
        with _locked(path):
            return check_store(path)
    except OSError as refused:
        raise ConfigurationError(f"the store at {path} cannot be read: {refused.strerror}") from refused


def check_store(path: Path) -> StoreReport:
    """Check a store that the caller holds the lock of.

    Raises:
        OSError: a directory cannot be listed.
    """
    damage = Damage()
    entries: Sequence[CatalogueEntry] = ()
    leftovers: Sequence[str] = ()
    catalogue = path / "catalogue.db"
    try:
        with at_rest(catalogue) as connection:
            check_format(connection, catalogue, FORMAT)
            check_pages(connection, catalogue, damage)
            entries = catalogued(connection, catalogue)
            leftovers = left_over(connection)
    except VecgateError as error:
        damage.add(error.message)
    reports = [
        _check_collection(CollectionFiles(path / "collections" / entry.uid, entry.uid), entry) for entry in entries
    ]
    # A damaged catalogue does not tell what is strange.
    remarks = [] if damage else _strangers(path, {entry.uid for entry in entries}, leftovers)
    return StoreReport(path, reports, damage, remarks)


def require_store(path: Path) -> None:
    """Raise ConfigurationError if nothing of a store lies in this directory, or half a backup, or it cannot be looked at."""
    try:
        refuse_unfinished(path)
        found = (path / "catalogue.db").exists() or (path / "collections").is_dir()
    except OSError as refused:
        raise ConfigurationError(f"the store at {path} cannot be read: {refused.strerror}") from refused
    if not found:
        raise ConfigurationError(f"there is no store at {path}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        lock = DirectoryLock(path, make=False)
    except FileNotFoundError:  # no server has ever opened it here, and the lock is not worth a change
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _check_collection(files: CollectionFiles, entry: CatalogueEntry) -> CollectionReport:
    truth = check_truth(files.truth, entry.uid, entry.spec.dimension)
    derived: list[str] = []
    if truth.segments is not None:
        derived.extend(_segment_faults(files.segments, truth.segments, entry.spec.dimension))
    derived.extend(_snapshot_faults(files.snapshots, truth))
    derived.extend(_foreign_files(files))
    records = dict(sorted(truth.records.items()))
    return CollectionReport(entry.spec.name, entry.uid, records, len(truth.segments or ()), truth.damage, derived)


def _segment_faults(directory: Path, rows: Sequence[SegmentRow], dimension: int) -> Iterator[str]:
    for row in rows:
        try:
            check_segment(segment_path(directory, row.uuid), row, dimension)
        except SegmentFileError as fault:
            yield f"segment {fault}; the next start drops it, and its {row.count} vectors are indexed anew"
    registered = {segment_path(directory, row.uuid) for row in rows}
    for path in sorted(set(directory.iterdir()) - registered) if directory.is_dir() else ():
        yield f"{path.name} is no segment of the manifest; the next start removes it"


def _snapshot_faults(directory: Path, truth: TruthCheck) -> Iterator[str]:
    registered = set()
    if truth.snapshot is not None:
        registered.add(snapshot_path(directory, truth.snapshot.uuid))
        try:
            check_snapshot(directory, truth.snapshot)
        except SnapshotFileError as fault:
            yield f"snapshot {fault}; the next start reads every record"
    if not truth.sound_journal:
        yield "the journal of changes does not match its checksums; the next start reads every record"
    for path in sorted(set(directory.iterdir()) - registered) if directory.is_dir() else ():
        yield f"{path.name} is not the registered snapshot; the next start removes it"


def _foreign_files(files: CollectionFiles) -> Iterator[str]:
    own = {
        files.segments,
        files.snapshots,
        *(files.truth.with_name(files.truth.name + ending) for ending in SQLITE_ENDINGS),
    }
    for path in sorted(set(files.directory.iterdir()) - own) if files.directory.is_dir() else ():
        yield f"{path.name} is no file of a collection; it is left as it is"


def _strangers(path: Path, known: set[str], leftovers: Sequence[str]) -> list[str]:
    """Return what lies in a store beside what belongs there."""
    own = {"collections", LOCK_NAME, *(f"catalogue.db{ending}" for ending in SQLITE_ENDINGS)}
    remarks = [f"{name} is no file of a store; it is left as it is" for name in sorted(_names(path) - own)]
    for name in sorted(_names(path / "collections") - known):
        fate = (
            "was deleted; the next start removes it"
            if name in leftovers
            else "belongs to no collection; it is left as it is"
        )
        remarks.append(f"collections/{name} {fate}")
    return remarks


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} if directory.is_dir() else set()
