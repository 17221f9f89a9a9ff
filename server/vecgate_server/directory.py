"""Which backend holds which collection. A collection's name is unique over all backends of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vecgate_backends.contract import Backend, Collection
from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionExistsError,
    CollectionNotFoundError,
    ConfigurationError,
    VecgateError,
)
from vecgate_backends.records import CollectionSpec
from vecgate_server.errors import BackendNotFoundError

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
"""A backend that has not said within this time that it works does not work."""


@dataclass(frozen=True, slots=True)
class ConfiguredBackend:
    """A backend under the name that collections refer to."""

    name: str
    kind: str
    backend: Backend

    async def fault(self) -> str:
        """Ask whether it works now; "" if so, else a sentence that says why not."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self.backend.check()
        except TimeoutError:
            return f"does not answer within {CHECK_SECONDS:g} s"
        except VecgateError as fault:
            return fault.message
        except Exception:  # a backend's own bug makes it unfit, and must not blind who asks
            log.exception("the check of backend %s failed", self.name)
            return "its check failed; the log has the cause"
        return ""


@dataclass(frozen=True, slots=True)
class LocatedSpec:
    """The settings of a collection and the name of the backend that holds it."""

    backend: str
    spec: CollectionSpec


@dataclass(frozen=True, slots=True)
class LocatedCollection:
    """An open collection and the name of the backend that holds it."""

    backend: str
    collection: Collection

    @property
    def spec(self) -> CollectionSpec:
        """Its settings."""
        return self.collection.spec


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

    @property
    def backends(self) -> Sequence[ConfiguredBackend]:
        """All of them, as configured."""
        return tuple(self._backends.values())

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

    async def refuse_ambiguous_names(self) -> None:
        """Check that no two backends hold a collection of one name; a backend that does not answer is left out.

        Raises:
            ConfigurationError: two do.
        """
        holders: dict[str, str] = {}
        for each in self.backends:
            try:
                specs = await each.backend.list_collections()
            except BackendUnavailableError:
                continue
            for spec in specs:
                other = holders.setdefault(spec.name, each.name)
                if other != each.name:
                    raise ConfigurationError(
                        f"collection {spec.name!r} exists in backends {other!r} and {each.name!r}; serve them apart"
                    )

    async def collection(self, name: str) -> LocatedCollection:
        """Open a collection.

        Raises:
            CollectionNotFoundError: no backend holds it.
        """
        for each in self._nearest_first(name):
            try:
                collection = await each.backend.collection(name)
            except CollectionNotFoundError:
                continue
            self._last_seen[name] = each.name
            return LocatedCollection(each.name, collection)
        self._last_seen.pop(name, None)
        raise CollectionNotFoundError(f"there is no collection {name!r}")

    async def create(self, backend: ConfiguredBackend, spec: CollectionSpec) -> None:
        """Make a collection.

        Raises:
            CollectionExistsError: one of that name exists, in this backend or another.
        """
        # Two creations of one name in two backends would both succeed if they could overlap.
        async with self._creating:
            try:
                existing = await self.collection(spec.name)
            except CollectionNotFoundError:
                await backend.backend.create_collection(spec)
            else:
                raise CollectionExistsError(f"collection {spec.name!r} exists in backend {existing.backend!r}")

    async def delete(self, name: str) -> None:
        """Remove a collection and all its records.

        Raises:
            CollectionNotFoundError: no backend holds it.
        """
        holder = (await self.collection(name)).backend
        await self._backends[holder].backend.delete_collection(name)
        self._last_seen.pop(name, None)

    async def specs(self) -> list[LocatedSpec]:
        """Return the settings of every collection of every backend, by name."""
        located = [
            LocatedSpec(each.name, spec) for each in self.backends for spec in await each.backend.list_collections()
        ]
        return sorted(located, key=lambda entry: entry.spec.name)

    def _nearest_first(self, name: str) -> Sequence[ConfiguredBackend]:
        nearest = self._last_seen.get(name)
        if nearest is None or len(self._backends) == 1:
            return self.backends
        return sorted(self.backends, key=lambda each: each.name != nearest)
