"""The shelf: a directory of collections."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from vecgate_backends.contract import Capabilities
from vecgate_backends.errors import BackendUnavailableError, CollectionNotFoundError, UnsupportedError
from vecgate_backends.memory import MemoryBackend, MemoryOptions
from vecgate_backends.records import CollectionSpec, IndexConfig
from vecgate_shelf.collection import ShelfCollection, fill
from vecgate_shelf.files import read_file

SUFFIX = ".shelf"


@dataclass(frozen=True, slots=True)
class ShelfOptions:
    """Options of the shelf.

    Attributes:
        path: the directory of the files; made if it does not exist.
    """

    path: Path = Path("shelf")


class ShelfBackend:
    """A directory of files; see contract.Backend for what each method promises."""

    Options: ClassVar[type[ShelfOptions]] = ShelfOptions

    def __init__(self, options: ShelfOptions) -> None:
        self._path = Path(options.path)
        self._memory = MemoryBackend(MemoryOptions())
        self._open: dict[str, ShelfCollection] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: what the memory backend can but for changing an index, and outlive the process."""
        return replace(self._memory.capabilities, durable=True, index_updates=False)

    async def start(self) -> None:
        """Read every file."""
        await asyncio.to_thread(self._path.mkdir, parents=True, exist_ok=True)
        self._open = {}
        for file in sorted(self._path.glob(f"*{SUFFIX}")):
            await self._load(file)

    async def close(self) -> None:
        """Finish the writes under way."""
        collections, self._open = self._open or {}, None
        for collection in collections.values():
            await collection.finish()
        await self._memory.close()

    async def check(self) -> None:
        """Raise BackendUnavailableError before start() and after close()."""
        self._collections()

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make a collection and its file."""
        collections = self._collections()
        await self._memory.create_collection(spec)
        inner = await self._memory.collection(spec.name)
        made = ShelfCollection(inner, self._path / f"{spec.name}{SUFFIX}", uuid.uuid4().hex, 0)
        await made.save()
        collections[spec.name] = made

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Refuse: there is one kind of index."""
        raise UnsupportedError(f"the shelf has one kind of index, so that of {name!r} cannot be changed to {index}")

    async def collection(self, name: str) -> ShelfCollection:
        """Return the open collection."""
        collections = self._collections()
        if name not in collections:
            raise CollectionNotFoundError(f"no collection is named {name!r}")
        return collections[name]

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection, by name."""
        return [collection.spec for _, collection in sorted(self._collections().items())]

    async def delete_collection(self, name: str) -> None:
        """Remove a collection and its file."""
        await (await self.collection(name)).finish()
        await self._memory.delete_collection(name)
        del self._collections()[name]
        await asyncio.to_thread((self._path / f"{name}{SUFFIX}").unlink)

    async def _load(self, file: Path) -> None:
        contents = await asyncio.to_thread(read_file, file)
        await self._memory.create_collection(contents.spec)
        inner = await self._memory.collection(contents.spec.name)
        await fill(inner, contents)
        opened = ShelfCollection(inner, file, contents.identity, contents.sequence)
        self._collections()[contents.spec.name] = opened

    def _collections(self) -> dict[str, ShelfCollection]:
        if self._open is None:
            raise BackendUnavailableError("the shelf is not open")
        return self._open
