"""The collection of a store that belongs to a framework: found at the first call, made at the first write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from vecgate.errors import NotFoundError
from vecgate.results import ChangeResult, Collection, UpsertResult
from vecgate.store_clients import StoreClients

Written = TypeVar("Written", UpsertResult, ChangeResult)


class StoreCollection:
    """A collection that may not exist yet. Until it is made there is nothing in it, so reads need none.

    Attributes:
        name: of the collection.
        known: its settings; None until a call has found or made it.
        token: of the last write that searches did not see yet when it was acknowledged; reads carry it, so that they see
            what this store wrote. None: there is none.
    """

    def __init__(
        self,
        clients: StoreClients,
        name: str,
        settings: Mapping[str, Any],
        *,
        create: bool,
        check: Callable[[Collection], None],
    ) -> None:
        """Remember how the collection would be made; nothing is sent.

        Args:
            clients: of the server.
            name: of the collection.
            settings: arguments of Client.create_collection.
            create: make it if it does not exist; False: that is an error, also for reads.
            check: raises if a collection that was found does not suit.
        """
        self.name = name
        self.known: Collection | None = None
        self.token: str | None = None
        self._clients = clients
        self._settings = dict(settings)
        self._create = create
        self._check = check

    def existing(self) -> Collection | None:
        """Return the settings; None: it does not exist yet.

        Raises:
            NotFoundError: it does not exist, and is not to be made.
        """
        if self.known is None:
            try:
                self._take(self._clients.blocking.get_collection(self.name).collection)
            except NotFoundError as error:
                self._accept_missing(error)
        return self.known

    def made(self, **settings: Any) -> Collection:
        """Return the settings, after making it if it did not exist.

        Args:
            settings: further arguments of Client.create_collection.
        """
        found = self.existing()
        if found is not None:
            return found
        return self._take(
            self._clients.blocking.create_collection(self.name, exist_ok=True, **self._settings, **settings)
        )

    def deleted(self) -> None:
        """Delete it with everything in it; that it does not exist is no error."""
        if self.existing() is not None:
            self.known = None
            with suppress(NotFoundError):
                self._clients.blocking.delete_collection(self.name)

    async def aexisting(self) -> Collection | None:
        """As existing."""
        if self.known is None:
            try:
                self._take((await self._clients.asynchronous.get_collection(self.name)).collection)
            except NotFoundError as error:
                self._accept_missing(error)
        return self.known

    async def amade(self, **settings: Any) -> Collection:
        """As made."""
        found = await self.aexisting()
        if found is not None:
            return found
        creation = self._clients.asynchronous.create_collection(self.name, exist_ok=True, **self._settings, **settings)
        return self._take(await creation)

    async def adeleted(self) -> None:
        """As deleted."""
        if await self.aexisting() is not None:
            self.known = None
            with suppress(NotFoundError):
                await self._clients.asynchronous.delete_collection(self.name)

    def noted(self, written: Written) -> Written:
        """Remember a write, for the reads that follow, and return it."""
        if not written.searchable:
            self.token = written.consistency_token
        return written

    def _take(self, collection: Collection) -> Collection:
        self._check(collection)
        self.known = collection
        return collection

    def _accept_missing(self, error: NotFoundError) -> None:
        if error.reason != "COLLECTION_NOT_FOUND" or not self._create:
            raise error
