"""The Faiss backend: one directory on a local disk, owned by one process."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vecgate_backends.contract import Capabilities, Figure
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    IndexUnsupportedError,
    StorageCorruptError,
    VecgateError,
)
from vecgate_backends.faiss.catalogue import CatalogueEntry
from vecgate_backends.faiss.codec import INDEX_KINDS
from vecgate_backends.faiss.collection import FaissCollection
from vecgate_backends.faiss.loading_progress import LoadingProgress
from vecgate_backends.faiss.sealing import SealSettings
from vecgate_backends.faiss.store import Store
from vecgate_backends.faiss.store_figures import StoreFigures
from vecgate_backends.faiss.threads import Threads
from vecgate_backends.records import CollectionSpec, IndexConfig

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


_LEAST = {"seal_threshold": 1, "quiet_seconds": 0, "search_threads": 0, "build_threads": 0}
"""Options that are numbers → their smallest value."""


@dataclass(frozen=True, slots=True)
class FaissOptions:
    """Options of the Faiss backend.

    Attributes:
        path: the directory of the store, on a local disk; made if it does not exist.
        seal_threshold: vectors of a namespace that are searched exactly before they become a segment of the index, at least 1; where
            twice as many have gathered, writers wait.
        quiet_seconds: how long a namespace is not written to before its segments are merged further, which makes searches faster;
            0 for never.
        search_threads: threads for searches that are too long for the event loop; 0 for one a core.
        build_threads: threads that build the index in the background; 0 for half of the cores.
    """

    path: Path = Path("vecgate-data")
    seal_threshold: int = 8192
    quiet_seconds: float = 10.0
    search_threads: int = 0
    build_threads: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigurationError: an option is out of its range, which is told.
        """
        for name, bound in _LEAST.items():
            value = getattr(self, name)
            if not bound <= value < math.inf:
                raise ConfigurationError(f"{name}: must be at least {bound} and finite, not {value}")


@dataclass(frozen=True, slots=True)
class _Resources:
    """What an open backend holds."""

    store: Store
    threads: Threads


class FaissBackend:
    """A durable embedded vector store; see contract.Backend for what each method promises."""

    Options: ClassVar[type[FaissOptions]] = FaissOptions

    def __init__(self, options: FaissOptions) -> None:
        self._options = options
        self._resources: _Resources | None = None
        self._open: dict[str, FaissCollection] = {}
        self._loading: LoadingProgress | None = None
        self._unreadable: dict[str, tuple[CatalogueEntry, VecgateError]] = {}
        self._figures = StoreFigures(Path(options.path))
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: everything, with every kind of index."""
        return Capabilities(index_kinds=frozenset(INDEX_KINDS), durable=True, encoding_stamps=True, index_updates=True)

    async def start(self) -> None:
        """Lock the directory and load every collection; one that cannot be read does not keep the others from starting."""
        store = await asyncio.to_thread(Store.open, Path(self._options.path))
        cores = os.cpu_count() or 1
        threads = Threads.start(
            self._options.search_threads or cores,
            self._options.build_threads or max(1, cores // 2),
            max(1, cores - 1),
        )
        self._resources = _Resources(store, threads)
        for entry in store.entries():
            await self._load(entry, self._resources)

    @property
    def progress(self) -> str:
        """What is being loaded and how far that is, one sentence; "" while nothing is."""
        return "" if self._loading is None else f"loading {self._loading}"

    async def close(self) -> None:
        """Finish writes under way, stop background work, and let go of the directory."""
        async with self._changing:
            resources, self._resources = self._resources, None
            for collection in self._open.values():
                collection.end(_closed)
            try:
                await asyncio.gather(*(collection.close() for collection in self._open.values()))
            finally:
                self._open, self._unreadable = {}, {}
                if resources is not None:
                    await asyncio.to_thread(resources.threads.stop)
                    resources.store.close()

    async def check(self) -> None:
        """Raise BackendUnavailableError before start() and after close()."""
        self._require()

    def figures(self) -> Sequence[Figure]:
        """Tell how large the store is and what it is busy with; see contract.TellsFigures."""
        resources = self._resources
        return self._figures.read(
            list(self._open.values()), len(self._unreadable), None if resources is None else resources.threads
        )

    async def settle(self) -> None:
        """Wait until the background work that is under way or due is finished; for tests and benchmarks."""
        await asyncio.gather(*(collection.settle() for collection in self._open.values()))

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make a collection: once this returns, it survives a crash."""
        _check_kind(spec.index)
        await self._to_the_end(self._create(spec))

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Change the index: once this returns, that survives a crash, and what was built otherwise is built anew in the background."""
        _check_kind(index)
        return await self._to_the_end(self._update(name, index))

    async def collection(self, name: str) -> FaissCollection:
        """Return the open collection."""
        self._require()
        if name in self._unreadable:
            _, error = self._unreadable[name]
            raise error
        if name not in self._open:
            raise _no_collection(name)
        return self._open[name]

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection, those that cannot be read included, by name."""
        self._require()
        entries = [*(collection.entry for collection in self._open.values())]
        entries.extend(entry for entry, _ in self._unreadable.values())
        return sorted((entry.spec for entry in entries), key=lambda spec: spec.name)

    async def delete_collection(self, name: str) -> None:
        """Remove a collection, one that cannot be read included."""
        await self._to_the_end(self._delete(name))

    async def _create(self, spec: CollectionSpec) -> None:
        async with self._changing:
            resources = self._require()
            if spec.name in self._open or spec.name in self._unreadable:
                raise CollectionExistsError(f"a collection named {spec.name!r} exists")
            entry = CatalogueEntry(uuid.uuid4().hex, spec)
            await asyncio.to_thread(resources.store.create, entry)
            await self._load(entry, resources)

    async def _update(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        async with self._changing:
            store = self._require().store
            collection = await self.collection(name)
            entry = replace(collection.entry, spec=replace(collection.spec, index=index))
            if entry != collection.entry:
                await asyncio.to_thread(store.update, entry)
            await collection.follow(entry)
            return entry.spec

    async def _delete(self, name: str) -> None:
        async with self._changing:
            store = self._require().store
            collection = self._open.get(name)
            if collection is None:
                if name not in self._unreadable:
                    raise _no_collection(name)
                entry, _ = self._unreadable[name]
                await asyncio.to_thread(store.remove, entry)
                del self._unreadable[name]
                await asyncio.to_thread(store.remove_files, entry.uid)
                return
            collection.end(partial(_no_collection, name))
            try:
                await asyncio.to_thread(store.remove, collection.entry)
            except BaseException:
                collection.end(None)
                raise
            del self._open[name]
            await collection.close(discarded=True)
            await asyncio.to_thread(store.remove_files, collection.entry.uid)

    async def _load(self, entry: CatalogueEntry, resources: _Resources) -> None:
        files = resources.store.files(entry.uid)
        progress = self._loading = LoadingProgress(entry.spec.name)
        try:
            sealing = SealSettings(self._options.seal_threshold, self._options.quiet_seconds)
            collection = await FaissCollection.open(
                entry, files, resources.threads, sealing, progress, self._figures.sync_seconds
            )
        except VecgateError as error:
            logger.warning("collection %s cannot be read: %s", entry.spec.name, error)
            self._unreadable[entry.spec.name] = (entry, error)
        except Exception as broken:
            # Whatever its files hold: it must not keep the others from starting.
            logger.exception("collection %s cannot be read", entry.spec.name)
            damage = StorageCorruptError(f"the files of collection {entry.spec.name!r} cannot be read: {broken}")
            self._unreadable[entry.spec.name] = (entry, damage)
        else:
            self._open[entry.spec.name] = collection
        finally:
            self._loading = None

    async def _to_the_end(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Await work that goes on if the caller is cancelled, so that files and memory never disagree."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def _require(self) -> _Resources:
        if self._resources is None:
            raise _closed()
        return self._resources


def _check_kind(index: IndexConfig | None) -> None:
    if index is not None and index.kind not in INDEX_KINDS:
        raise IndexUnsupportedError(f"the faiss backend builds indexes of these kinds: {', '.join(INDEX_KINDS)}")


def _no_collection(name: str) -> VecgateError:
    return CollectionNotFoundError(f"no collection is named {name!r}")


def _closed() -> VecgateError:
    return BackendUnavailableError("the faiss backend is not open")
