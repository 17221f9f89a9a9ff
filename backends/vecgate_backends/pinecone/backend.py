"""The Pinecone backend: every collection is a serverless index, and all that is known of it is kept there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pinecone import AsyncPinecone

from vecgate_backends.contract import Capabilities
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionNotFoundError,
    IndexUnsupportedError,
    UnsupportedError,
    VecgateError,
)
from vecgate_backends.pinecone.collection import PineconeCollection
from vecgate_backends.pinecone.connection import Caller, open_controller, open_index
from vecgate_backends.pinecone.index_catalogue import CatalogueEntry, IndexCatalogue
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.options import PineconeOptions, check_options, read_api_key
from vecgate_backends.pinecone.settings_record import Settings
from vecgate_backends.records import CollectionSpec, IndexConfig

logger = logging.getLogger(__name__)
LARGEST_DIMENSION = 20_000


@dataclass(slots=True)
class _Known:
    """An open collection, and when Pinecone last confirmed its settings, in seconds of the loop's clock."""

    collection: PineconeCollection
    confirmed: float


@dataclass(frozen=True, slots=True)
class _Resources:
    """What an open backend holds."""

    api_key: str
    controller: AsyncPinecone
    catalogue: IndexCatalogue


class PineconeBackend:
    """Collections at Pinecone; see contract.Backend for what each method promises."""

    Options: ClassVar[type[PineconeOptions]] = PineconeOptions

    def __init__(self, options: PineconeOptions) -> None:
        self._options = options
        self._caller = Caller(options.deadline_seconds, options.attempt_seconds)
        self._resources: _Resources | None = None
        self._known: dict[str, _Known] = {}
        self._changing = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What it can do. Pinecone chooses its index, and a write may be visible only after it was answered."""
        return Capabilities(
            max_dimension=LARGEST_DIMENSION,
            index_kinds=frozenset(),
            durable=True,
            searchable_on_write=False,
            encoding_stamps=True,
        )

    @property
    def shared(self) -> bool:
        """Whether several processes may serve it: always, since a project is for everybody who has its key."""
        return True

    async def start(self) -> None:
        """Open the connection. A Pinecone that cannot be reached, or refuses the key, does not end the start: it may be mended."""
        check_options(self._options)
        api_key = read_api_key(self._options)
        controller = open_controller(self._options, api_key)
        catalogue = IndexCatalogue(controller, self._caller, self._options)
        try:
            await catalogue.check()
        except VecgateError as fault:
            logger.warning("%s: its collections are unavailable until that is mended", fault.message)
        self._resources = _Resources(api_key, controller, catalogue)

    async def close(self) -> None:
        """Finish the calls under way, then close every connection."""
        async with self._changing:
            resources, self._resources = self._resources, None
            known, self._known = self._known, {}
            await asyncio.gather(*(each.collection.end(_closed) for each in known.values()))
            if resources is not None:
                await resources.controller.close()

    async def check(self) -> None:
        """Ask Pinecone for the list of indexes."""
        try:
            await self._require().catalogue.check()
        except BackendUnavailableError:
            raise
        except VecgateError as fault:
            raise BackendUnavailableError(fault.message, retry_after=fault.retry_after) from fault

    async def create_collection(self, spec: CollectionSpec) -> None:
        """Make an index, wait until it is ready, and store the settings in it."""
        catalogue = self._require().catalogue
        if spec.index is not None:
            raise IndexUnsupportedError("Pinecone chooses its index itself: leave the index out")
        if not 1 <= spec.dimension <= LARGEST_DIMENSION:
            raise UnsupportedError(f"Pinecone takes 1 to {LARGEST_DIMENSION:,} dimensions, not {spec.dimension:,}")
        settings = Settings.new(spec)
        settings.vector()  # refuses settings that are too long before anything is made
        entry = await catalogue.create(settings)
        requests = self._open(entry, spec.dimension)
        try:
            await catalogue.write_settings(requests, settings)
        except VecgateError:
            await requests.close()
            await catalogue.delete(spec.name)
            raise
        async with self._changing:
            self._know(PineconeCollection(settings, requests, self._options))

    async def update_collection(self, name: str, index: IndexConfig | None) -> CollectionSpec:
        """Refuse: Pinecone chooses its index itself."""
        raise UnsupportedError(f"Pinecone chooses the index of {name!r} itself: it cannot be changed to {index}")

    async def collection(self, name: str) -> PineconeCollection:
        """Return the open collection, its settings confirmed not longer ago than the options allow."""
        self._require()
        known = self._known.get(name)
        if known is not None and self._now() - known.confirmed < self._options.settings_seconds:
            return known.collection
        async with self._changing:
            return await self._confirmed(name)

    async def list_collections(self) -> Sequence[CollectionSpec]:
        """Return the settings of every collection, by name."""
        specs: list[CollectionSpec] = []
        for entry in await self._require().catalogue.entries():
            known = self._known.get(entry.collection)
            if known is not None and known.collection.settings.digest == entry.digest:
                specs.append(known.collection.spec)
                continue
            try:
                specs.append((await self.collection(entry.collection)).spec)
            except CollectionNotFoundError:
                continue  # deleted since it was listed
            except BackendUnavailableError as fault:
                if not entry.ready:
                    continue  # another replica is making it
                raise BackendUnavailableError(f"collection {entry.collection!r}: {fault.message}") from fault
        return sorted(specs, key=lambda spec: spec.name)

    async def delete_collection(self, name: str) -> None:
        """Delete the index, and wait until the name is free."""
        catalogue = self._require().catalogue
        if await catalogue.find(name) is None:
            raise _no_collection(name)
        async with self._changing:
            await self._forget(name)
        await catalogue.delete(name)

    async def _confirmed(self, name: str) -> PineconeCollection:
        """Ask Pinecone whether the collection is still the one that is open here, and open it if it is not."""
        catalogue = self._require().catalogue
        entry = await catalogue.find(name)
        known = self._known.get(name)
        if known is not None and entry is not None and known.collection.settings.digest == entry.digest:
            known.confirmed = self._now()
            return known.collection
        await self._forget(name)
        if entry is None:
            raise _no_collection(name)
        requests = self._open(entry, entry.dimension)
        try:
            settings = await catalogue.read_settings(requests, entry)
        except BaseException:
            await requests.close()
            raise
        return self._know(PineconeCollection(settings, requests, self._options))

    def _know(self, collection: PineconeCollection) -> PineconeCollection:
        self._known[collection.spec.name] = _Known(collection, self._now())
        return collection

    async def _forget(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            await known.collection.end(partial(_no_collection, name))

    def _open(self, entry: CatalogueEntry, dimension: int) -> IndexRequests:
        index = open_index(self._options, self._require().api_key, entry.host)
        return IndexRequests(index, self._caller, dimension)

    def _require(self) -> _Resources:
        if self._resources is None:
            raise _closed()
        return self._resources

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _no_collection(name: str) -> VecgateError:
    return CollectionNotFoundError(f"no collection is named {name!r}")


def _closed() -> VecgateError:
    return BackendUnavailableError("the pinecone backend is not open")
