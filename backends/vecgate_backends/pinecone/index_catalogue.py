"""The indexes of a project that are collections of ours: made, found, deleted, their settings read and written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pinecone import AsyncPinecone

from vecgate_backends.errors import BackendUnavailableError, CollectionExistsError, ExistsError, MissingError
from vecgate_backends.pinecone.connection import Caller
from vecgate_backends.pinecone.identifiers import SETTINGS_NAMESPACE, index_name
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.options import PineconeOptions
from vecgate_backends.pinecone.settings_record import (
    DIGEST_TAG,
    METRICS,
    NAME_TAG,
    SETTINGS_ID,
    SETTINGS_KEY,
    Settings,
    read_settings,
)

T = TypeVar("T")
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 2.0
VECTORS = "_values"
ENDING_STATES = frozenset({"Terminating"})


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """An index of ours: its collection, the digest of the settings, where it answers, its dimension, whether it is ready."""

    collection: str
    digest: str
    host: str
    dimension: int
    ready: bool


class IndexCatalogue:
    """What the control plane knows, of the indexes that this backend made."""

    def __init__(self, controller: AsyncPinecone, caller: Caller, options: PineconeOptions) -> None:
        self._controller = controller
        self._caller = caller
        self._options = options

    async def check(self) -> None:
        """Ask for the list of indexes, once.

        Raises:
            VecgateError: by the table of vendor_errors.
        """
        once = Caller(self._caller.attempt, self._caller.attempt)
        await once.call(lambda: self._controller.indexes.list().to_list(), idempotent=False)

    async def entries(self) -> list[CatalogueEntry]:
        """Return every collection's entry, but for those that are being deleted."""
        models = await self._caller.call(lambda: self._controller.indexes.list().to_list())
        prefix = self._options.index_prefix
        found = [(model.name, _entry(model)) for model in models]
        return [entry for name, entry in found if entry is not None and name == index_name(prefix, entry.collection)]

    async def find(self, collection: str) -> CatalogueEntry | None:
        """Return a collection's entry, None if there is none."""
        model = await self._describe(collection)
        entry = None if model is None else _entry(model)
        return entry if entry is not None and entry.collection == collection else None

    async def create(self, settings: Settings) -> CatalogueEntry:
        """Make an index, and wait until it is ready.

        Raises:
            CollectionExistsError: an index of that name exists.
            BackendUnavailableError: it is not ready in time, and stays to be deleted.
        """
        spec = settings.spec
        vectors = {"type": "dense_vector", "dimension": spec.dimension, "metric": METRICS[spec.metric]}
        options = self._options
        try:
            await self._caller.call(
                lambda: self._controller.indexes.create(
                    name=index_name(options.index_prefix, spec.name),
                    schema={"fields": {VECTORS: vectors}},
                    deployment={"deployment_type": "managed", "cloud": options.cloud, "region": options.region},
                    tags=settings.tags,
                    timeout=-1,
                ),
                idempotent=False,
            )
        except ExistsError as taken:
            raise CollectionExistsError(f"an index for a collection named {spec.name!r} exists at Pinecone") from taken
        entry = await self._until(lambda: self._ready(spec.name), options.ready_seconds)
        if entry is None:
            raise BackendUnavailableError(f"the index of {spec.name!r} is not ready after {options.ready_seconds:g} s")
        return entry

    async def delete(self, collection: str) -> None:
        """Delete an index, and wait until it is gone."""
        name = index_name(self._options.index_prefix, collection)
        try:
            await self._caller.call(lambda: self._controller.indexes.delete(name, timeout=-1))
        except MissingError:
            return
        if await self._until(lambda: self._gone(collection), self._options.ready_seconds) is None:
            raise BackendUnavailableError(f"Pinecone is still deleting the index of {collection!r}", retry_after=5.0)

    async def write_settings(self, requests: IndexRequests, settings: Settings) -> None:
        """Store the settings, and wait until they can be read."""
        await requests.upsert_vectors(SETTINGS_NAMESPACE, [settings.vector()])
        await self._settings(requests, settings.spec.name, settings.digest)

    async def read_settings(self, requests: IndexRequests, entry: CatalogueEntry) -> Settings:
        """Read the settings.

        Raises:
            BackendUnavailableError: they are not there, because the collection is being made or was left half-made.
        """
        return await self._settings(requests, entry.collection, entry.digest)

    async def _settings(self, requests: IndexRequests, collection: str, digest: str) -> Settings:
        async def look() -> Settings | None:
            record = (await requests.fetch(SETTINGS_NAMESPACE, [SETTINGS_ID])).get(SETTINGS_ID)
            if record is None:
                return None
            settings = read_settings(record.stored[SETTINGS_KEY])
            return settings if settings.digest == digest else None

        settings = await self._until(look, self._options.visible_seconds)
        if settings is None:
            raise BackendUnavailableError(
                f"collection {collection!r} is still being made, or was left half-made: then delete it", retry_after=5.0
            )
        return settings

    async def _ready(self, collection: str) -> CatalogueEntry | None:
        entry = await self.find(collection)
        return entry if entry is not None and entry.ready else None

    async def _gone(self, collection: str) -> bool | None:
        return True if await self._describe(collection) is None else None

    async def _describe(self, collection: str) -> Any:
        name = index_name(self._options.index_prefix, collection)
        try:
            return await self._caller.call(lambda: self._controller.indexes.describe(name))
        except MissingError:
            return None

    @staticmethod
    async def _until(look: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
        """Look again, with growing pauses, until there is something to see or the time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        pause = FIRST_PAUSE_SECONDS
        while (found := await look()) is None and loop.time() + pause < end:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return found


def _entry(model: Any) -> CatalogueEntry | None:
    """Return the entry of an index that vecgate made and nobody is deleting, else None."""
    tags = model.tags or {}
    if DIGEST_TAG not in tags or NAME_TAG not in tags or model.status.state in ENDING_STATES:
        return None
    vectors = model.schema.fields[VECTORS]
    ready = bool(model.status.ready and model.host)
    return CatalogueEntry(tags[NAME_TAG], tags[DIGEST_TAG], model.host or "", vectors.dimension, ready)
