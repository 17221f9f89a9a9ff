"""Which backend holds which collection. A collection's name is unique over all backends of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vecgate_backends.contract import Backend, Capabilities, Collection
from vecgate_backends.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    StoreLockedError,
    UnavailableError,
    VecgateError,
)
from vecgate_backends.records import CollectionSpec, IndexConfig
from vecgate_server.configured_backend import RETRY_SECONDS, ConfiguredBackend
from vecgate_server.errors import BackendNotFoundError

log = logging.getLogger(__name__)


class BackendStartError(ConfigurationError):
    """A backend cannot be used at all; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class LocatedSpec:
    """The settings of a collection and the name of the backend that holds it."""

    backend: str
    spec: CollectionSpec


@dataclass(frozen=True, slots=True)
class LocatedCollection:
    """An open collection, the name of the backend that holds it, and what that backend can do."""

    backend: str
    collection: Collection
    capabilities: Capabilities

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self.collection.spec


@dataclass(frozen=True, slots=True)
class Listing:
    """Collections by name, and the backends that did not answer, whose collections are not among them."""

    collections: Sequence[LocatedSpec]
    unavailable: Sequence[str]


class Directory:
    """The configured backends, and the collections in them.

    It remembers where a name was found last and asks there first; it holds nothing that another replica's change could
    make wrong.
    """

    def __init__(self, backends: Sequence[ConfiguredBackend], default: str) -> None:
        self._backends: Mapping[str, ConfiguredBackend] = {each.name: each for each in backends}
        self._default = default
        self._last_seen: dict[str, str] = {}
        self._creating = asyncio.Lock()
        self._awaiting: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open every backend; those that are away are opened when they come back.

        Raises:
            BackendStartError: one cannot be used as it is configured, or two hold a collection of one name.
        """
        for each in self.backends:
            try:
                came = await each.open(partial(self._check_names, each.name))
            except (ConfigurationError, StoreLockedError, VecgateError) as fault:
                raise BackendStartError(f"backend {each.name!r}: {fault}") from fault
            if not came:
                self._awaiting.append(asyncio.create_task(self._await(each)))

    async def close(self) -> None:
        """Close every backend."""
        for waiting in self._awaiting:
            waiting.cancel()
        await asyncio.gather(*self._awaiting, return_exceptions=True)
        for each in self.backends:
            await each.close()

    @property
    def backends(self) -> Sequence[ConfiguredBackend]:
        """All of them, as configured."""
        return tuple(self._backends.values())

    @property
    def progress(self) -> str:
        """What backends that are starting tell of it; "" if none does."""
        return "; ".join(f"backend {each.name} is {told}" for each in self.backends if (told := each.progress))

    @property
    def default(self) -> str:
        """The backend of collections that name none."""
        return self._default

    def backend(self, name: str) -> ConfiguredBackend:
        """Return a backend by name; "" is the default.

        Raises:
            BackendNotFoundError: not configured.
        """
        try:
            return self._backends[name or self._default]
        except KeyError:
            known = ", ".join(self._backends)
            raise BackendNotFoundError(f"there is no backend {name!r}; configured are: {known}") from None

    async def collection(self, name: str) -> LocatedCollection:
        """Open a collection.

        Raises:
            CollectionNotFoundError: no backend holds it.
            BackendUnavailableError: none that answers holds it, and another one is away.
        """
        away: UnavailableError | None = None
        for each in self._nearest_first(name):
            try:
                collection = await each.opened.collection(name)
            except CollectionNotFoundError:
                continue
            except UnavailableError as fault:
                away = away or fault
                continue
            self._last_seen[name] = each.name
            return LocatedCollection(each.name, collection, each.capabilities)
        if away is not None:
            raise away
        self._last_seen.pop(name, None)
        raise CollectionNotFoundError(f"there is no collection {name!r}")

    async def create(self, backend: ConfiguredBackend, spec: CollectionSpec) -> None:
        """Make a collection.

        Raises:
            CollectionExistsError: one of that name exists, in this backend or another.
            BackendUnavailableError: a backend is away, so that nobody knows whether the name is free.
        """
        # Two creations of one name in two backends would both succeed if they could overlap.
        async with self._creating:
            try:
                existing = await self.collection(spec.name)
            except CollectionNotFoundError:
                await backend.opened.create_collection(spec)
            else:
                raise CollectionExistsError(f"collection {spec.name!r} exists in backend {existing.backend!r}")

    async def update(self, located: LocatedCollection, index: IndexConfig | None) -> CollectionSpec:
        """Change the index of a collection, and return its settings.

        Raises:
            CollectionNotFoundError: it was deleted meanwhile.
            IndexUnsupportedError: the backend does not build that index.
        """
        return await self._backends[located.backend].opened.update_collection(located.spec.name, index)

    async def delete(self, name: str) -> None:
        """Remove a collection and all its records.

        Raises:
            CollectionNotFoundError: no backend holds it.
        """
        holder = (await self.collection(name)).backend
        await self._backends[holder].opened.delete_collection(name)
        self._last_seen.pop(name, None)

    async def listing(self) -> Listing:
        """Return the settings of every collection of every backend that answers, by name."""
        located: list[LocatedSpec] = []
        unavailable: list[str] = []
        for each in self.backends:
            try:
                located += [LocatedSpec(each.name, spec) for spec in await each.opened.list_collections()]
            except UnavailableError:
                unavailable.append(each.name)
        return Listing(sorted(located, key=lambda entry: entry.spec.name), unavailable)

    async def _await(self, each: ConfiguredBackend) -> None:
        """Try to open a backend until it works."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                if await each.open(partial(self._check_names, each.name)):
                    log.info("backend %s is open", each.name)
                    return
            except (ConfigurationError, StoreLockedError, VecgateError) as fault:
                each.hold_back(str(fault))
            except Exception:  # a backend's own bug must not end the attempts
                log.exception("backend %s cannot be opened", each.name)
                each.hold_back("it cannot be opened; the log has the cause")

    async def _check_names(self, name: str, backend: Backend) -> None:
        """Check that no open backend holds a collection of a name that a backend which is to be opened has.

        Raises:
            ConfigurationError: one does.
        """
        names = {spec.name for spec in await backend.list_collections()}
        for located in (await self.listing()).collections:
            if located.backend != name and located.spec.name in names:
                raise ConfigurationError(
                    f"collection {located.spec.name!r} exists in backends {located.backend!r} and {name!r}; "
                    "serve them apart"
                )

    def _nearest_first(self, name: str) -> Sequence[ConfiguredBackend]:
        nearest = self._last_seen.get(name)
        if nearest is None or len(self._backends) == 1:
            return self.backends
        return sorted(self.backends, key=lambda each: each.name != nearest)
