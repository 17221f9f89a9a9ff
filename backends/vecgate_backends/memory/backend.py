"""The memory backend: a dictionary of collections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from vecgate_backends.contract import Capabilities
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    IndexUnsupportedError,
    VecgateError,
)
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_backends.records import CollectionSpec, FlatIndex, IndexConfig


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """The memory backend has no options."""


class MemoryBackend:
    """Collections in memory; see contract.Backend for what each method promises."""

    Options: ClassVar[type[MemoryOptions]] = MemoryOptions

    def __init__(self, options: MemoryOptions) -> None:
        del options  # there are none; every backend is built with them
        self._collections: dict[str, MemoryCollection] = {}
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: everything but outlive the process, with a flat index."""
        return Capabilities(index_kinds=frozenset({"flat"}), durable=False, encoding_stamps=True, index_updates=True)

    async def start(self) -> None:
        """Do nothing; there is nothing to open."""

    async def close(self) -> None:
        """Drop everything."""
        self._closed = True
        for collection in self._collections.values():
            collection.end(_closed)
        self._collections = {}

    async def check(self) -> None:
        """Raise BackendUnavailableError once closed."""
        if self._closed:
            raise _closed()

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make a collection."""
        await self.check()
        if spec.name in self._collections:
            raise CollectionExistsError(f"a collection named {spec.name!r} exists")
        _check_kind(spec.index)
        self._collections[spec.name] = MemoryCollection(spec)

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Note the index, which every search goes without."""
        collection = await self.collection(name)
        _check_kind(index)
        collection.set_index(index)
        return collection.spec

    async def collection(self, name: str) -> MemoryCollection:
        """Return the open collection."""
        await self.check()
        if name not in self._collections:
            raise _no_collection(name)
        return self._collections[name]

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection, by name."""
        await self.check()
        return [collection.spec for _, collection in sorted(self._collections.items())]

    async def delete_collection(self, name: str) -> None:
        """Remove a collection and all its records."""
        (await self.collection(name)).end(partial(_no_collection, name))
        del self._collections[name]


def _check_kind(index: IndexConfig | None) -> None:
    if not isinstance(index, FlatIndex | None):
        raise IndexUnsupportedError("the memory backend builds flat indexes only")


def _no_collection(name: str) -> VecgateError:
    return CollectionNotFoundError(f"no collection is named {name!r}")


def _closed() -> VecgateError:
    return BackendUnavailableError("the memory backend is closed")
