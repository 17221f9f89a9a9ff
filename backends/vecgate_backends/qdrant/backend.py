"""The Qdrant backend: one server, or one directory of the client's own engine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from qdrant_client import models

from vecgate_backends.contract import Capabilities
from vecgate_backends.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    UnsupportedError,
    VecgateError,
)
from vecgate_backends.qdrant.collection import QdrantCollection
from vecgate_backends.qdrant.connection import Connection
from vecgate_backends.qdrant.engine import Engine
from vecgate_backends.qdrant.filter_translation import field_indexes
from vecgate_backends.qdrant.options import QdrantOptions, check_options
from vecgate_backends.qdrant.payload import NAMESPACE
from vecgate_backends.qdrant.settings import (
    INDEX_KINDS,
    StoredCollection,
    creation_arguments,
    new_identity,
    stored_collection,
    update_arguments,
)
from vecgate_backends.records import CollectionSpec, IndexConfig

OLDEST_SERVER = (1, 17)
"""Older servers keep no metadata of collections (1.16 does), or write over a record where an insert was asked for."""
FRESH_SECONDS = 1.0
"""A collection looked up longer ago is looked up again, since another server may have deleted it or made it again."""
_LOOKED_UP_AT_ONCE = 8
_CHECK_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Open:
    """A collection that was looked up, and when, in seconds of time.monotonic."""

    collection: QdrantCollection
    seen: float


class QdrantBackend:
    """Collections in Qdrant; see contract.Backend for what each method promises."""

    Options: ClassVar[type[QdrantOptions]] = QdrantOptions

    def __init__(self, options: QdrantOptions) -> None:
        self._options = options
        self._connection = Connection(options)
        self._open: dict[str, _Open] = {}
        self._version_is_known = options.local

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: everything, but for tokens where a write waits for some of the replicas only."""
        return Capabilities(
            max_dimension=65_536,
            index_kinds=frozenset(INDEX_KINDS),
            durable=not self._options.in_memory,
            consistency_tokens=self._options.replicas_acknowledge,
            encoding_stamps=True,
            index_updates=True,
        )

    @property
    def shared(self) -> bool:
        """Whether several processes may serve it: a server is for everybody, the client's own engine for one."""
        return not self._options.local

    async def start(self) -> None:
        """Check the options and open the directory. A server is not called yet, so that one that is down holds up nothing."""
        check_options(self._options)
        await self._connection.start()

    async def close(self) -> None:
        """Let writes under way finish, then close the connection."""
        await asyncio.gather(*(known.collection.engine.close() for known in self._open.values()))
        await self._connection.close()
        self._open = {}

    async def check(self) -> None:
        """Ask for the names of the collections, which takes the credentials too."""
        self._connection.require_open()
        await self._connection.call(lambda client: client.get_collections(), _CHECK_SECONDS, attempts=1)
        await self._require_version()

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make a Qdrant collection with the settings in its metadata, and its payload indexes."""
        async with self._connection.writing():
            await self._require_version()
            identity, name = new_identity(), self._name(spec.name)
            arguments = creation_arguments(identity, spec, self._options)
            try:
                await self._connection.write(lambda client: client.create_collection(name, **arguments))
            except CollectionExistsError:
                stored = await self._look_up(spec.name)
                if stored is None or stored.identity != identity:  # else an attempt that seemed to fail had made it
                    raise CollectionExistsError(f"Qdrant has a collection named {name!r}") from None
            await self._finish(name, StoredCollection(identity, spec))

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Change the graph's settings and the index in the metadata by one call; Qdrant builds anew by itself."""
        async with self._connection.writing():
            await self._require_version()
            stored = await self._look_up(name)
            if stored is None:
                self._forget(name)
                raise _no_collection(name)
            arguments = update_arguments(stored, index, self._options)
            if arguments:
                await self._connection.write(lambda client: client.update_collection(self._name(name), **arguments))
            changed = replace(stored, spec=replace(stored.spec, index=index))
            self._follow(name, changed)
            return changed.spec

    async def collection(self, name: str) -> QdrantCollection:
        """Return the collection, looked up again if that was a while ago."""
        self._connection.require_open()
        known = self._open.get(name)
        if known is not None and time.monotonic() - known.seen < FRESH_SECONDS:
            return known.collection
        await self._require_version()
        stored = await self._look_up(name)
        if stored is None:
            self._forget(name)
            raise _no_collection(name)
        # Another call may have opened it meanwhile: forgetting what that one works with would end it.
        known = self._open.get(name)
        if known is None or known.collection.engine.identity != stored.identity:
            self._forget(name)
            engine = Engine(self._connection, self._options, self._name(name), stored)
            known = _Open(QdrantCollection(engine), 0.0)
            if NAMESPACE not in stored.indexed:
                await self._finish(engine.name, stored)
        self._open[name] = _Open(known.collection, time.monotonic())
        self._follow(name, stored)
        return known.collection

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection under the prefix that is vecgate's."""
        self._connection.require_open()
        answer = await self._connection.read(lambda client: client.get_collections())
        prefix = self._options.prefix
        names = [each.name.removeprefix(prefix) for each in answer.collections if each.name.startswith(prefix)]
        gate = asyncio.Semaphore(_LOOKED_UP_AT_ONCE)

        async def look_up(name: str) -> StoredCollection | None:
            async with gate:
                return await self._look_up(name)

        found = await asyncio.gather(*(look_up(name) for name in names))
        return sorted((each.spec for each in found if each is not None), key=lambda spec: spec.name)

    async def delete_collection(self, name: str) -> None:
        """Remove a Qdrant collection that is vecgate's."""
        async with self._connection.writing():
            if await self._look_up(name) is None:
                self._forget(name)
                raise _no_collection(name)
            await self._connection.write(lambda client: client.delete_collection(self._name(name)))
            self._forget(name)

    async def _look_up(self, name: str) -> StoredCollection | None:
        try:
            info = await self._connection.read(lambda client: client.get_collection(self._name(name)))
        except CollectionNotFoundError:
            return None
        return stored_collection(info)

    async def _finish(self, name: str, stored: StoredCollection) -> None:
        """Make the payload indexes of a new collection, or of one whose maker did not come to it."""
        if self._options.local:
            return
        tenants = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
        wanted: dict[str, Any] = {NAMESPACE: tenants}
        for field, kind in self._options.indexed_fields.items():
            wanted |= field_indexes(field, kind)
        await Engine(self._connection, self._options, name, stored).make_indexes(wanted, wait=True)

    async def _require_version(self) -> None:
        """Refuse servers that would do something else than asked.

        Raises:
            UnsupportedError: it is too old.
        """
        if self._version_is_known:
            return
        version = (await self._connection.read(lambda client: client.info())).version
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise UnsupportedError(
                f"the server at {self._options.place} is Qdrant {version}; vecgate needs {oldest} or newer"
            )
        self._version_is_known = True

    def _name(self, name: str) -> str:
        return self._options.prefix + name

    def _follow(self, name: str, stored: StoredCollection) -> None:
        """Let an open collection follow its settings, of which the index may have changed."""
        known = self._open.get(name)
        if known is not None and known.collection.engine.identity == stored.identity:
            known.collection.engine.spec = stored.spec

    def _forget(self, name: str) -> None:
        known = self._open.pop(name, None)
        if known is not None:
            known.collection.engine.end()


def _no_collection(name: str) -> VecgateError:
    return CollectionNotFoundError(f"no collection is named {name!r}")
