"""One Qdrant collection, spoken to by an identity that must still be its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from operator import methodcaller
from typing import Any

from qdrant_client import models

from vecgate_backends.errors import (
    BackendUnavailableError,
    CollectionNotFoundError,
    InvalidArgumentError,
    UnsupportedError,
    VecgateError,
)
from vecgate_backends.filters import Filter
from vecgate_backends.qdrant.connection import Connection, Operation
from vecgate_backends.qdrant.faults import COME_BACK_SECONDS
from vecgate_backends.qdrant.filter_translation import in_namespace, indexes
from vecgate_backends.qdrant.options import QdrantOptions
from vecgate_backends.qdrant.settings import Identity, StoredCollection, stored_collection
from vecgate_backends.qdrant.tokens import write_applied
from vecgate_backends.records import CollectionSpec

logger = logging.getLogger(__name__)

_NO_POINT = "00000000-0000-0000-0000-000000000000"


class Engine:
    """A Qdrant collection as its readers and writers use it; `name` is its name in Qdrant."""

    def __init__(self, connection: Connection, options: QdrantOptions, name: str, stored: StoredCollection) -> None:
        self._connection = connection
        self.options = options
        self.name = name
        self.identity: Identity = stored.identity
        self.spec: CollectionSpec = stored.spec
        self._indexed = set(stored.indexed)
        self._indexing: set[asyncio.Task[None]] = set()
        self._ending: Callable[[], VecgateError] | None = None

    @property
    def connection(self) -> Connection:
        """The way to Qdrant."""
        return self._connection

    def end(self) -> None:
        """Answer every later call that the collection is not there."""
        self._ending = self._gone

    async def require(self, token: str | None = None) -> None:
        """Refuse closed backends, ended collections and foreign tokens; wait for a write that was not applied yet.

        Raises:
            BackendUnavailableError, CollectionNotFoundError, TokenInvalidError, UnsupportedError.
        """
        self._connection.require_open()
        if self._ending is not None:
            raise self._ending()
        if token is None:
            return
        if not self.options.replicas_acknowledge:
            raise UnsupportedError(
                "this qdrant backend has no consistency tokens: its write_consistency_factor is below its replication_factor"
            )
        if not write_applied(token, self.identity):
            await self._catch_up()

    async def read(self, operation: Operation) -> Any:
        """Make a call that changes nothing."""
        return await self._current(self._connection.read(operation))

    async def write(self, operation: Operation) -> bool:
        """Make a call that changes points and waits; whether Qdrant had applied it when it returned."""
        result = await self._current(self._connection.write(operation))
        return bool(result.status == models.UpdateStatus.COMPLETED)

    async def check_current(self) -> None:
        """Raise CollectionNotFoundError if the collection was deleted, or made again, by whomever."""
        try:
            info = await self._connection.read(lambda client: client.get_collection(self.name))
        except CollectionNotFoundError:
            info = None
        stored = None if info is None else stored_collection(info)
        if stored is None or stored.identity != self.identity:
            self.end()
            raise self._gone()

    def serve_filter(self, node: Filter | None) -> None:
        """Start to make the payload indexes that a filter would use and the collection lacks."""
        if node is None or self.options.local or not self.options.index_used_fields:
            return
        missing = {path: kind for path, kind in indexes(node).items() if path not in self._indexed}
        if missing:
            self._indexed.update(missing)
            task = asyncio.create_task(self._index_quietly(missing))
            self._indexing.add(task)
            task.add_done_callback(self._indexing.discard)

    async def close(self) -> None:
        """Wait for the indexes that are being ordered."""
        await asyncio.gather(*self._indexing)

    async def make_indexes(self, wanted: Mapping[str, Any], *, wait: bool) -> None:
        """Make payload indexes; one that exists is left as it is. Returns when they are made, or when Qdrant has the order."""
        for path, kind in wanted.items():
            await self._connection.write(
                methodcaller("create_payload_index", self.name, field_name=path, field_schema=kind, wait=wait)
            )

    async def _index_quietly(self, wanted: Mapping[str, Any]) -> None:
        """Make indexes beside a search, which is right without them."""
        try:
            await self.make_indexes(wanted, wait=False)
        except VecgateError as error:
            self._indexed.difference_update(wanted)
            logger.warning("no payload index on %s of %s: %s", ", ".join(wanted), self.name, error.message)

    async def _catch_up(self) -> None:
        """Wait until every shard has applied all it has taken, by a later write that concerns no point."""
        nothing = models.FilterSelector(
            filter=in_namespace(self.identity.namespace(""), None, models.HasIdCondition(has_id=[_NO_POINT]))
        )
        if not await self.write(lambda client: client.delete(self.name, points_selector=nothing, wait=True)):
            raise BackendUnavailableError("Qdrant has not applied that write yet", retry_after=COME_BACK_SECONDS)

    async def _current(self, call: Any) -> Any:
        """Await a call; a refusal may mean that this is another collection by now."""
        try:
            return await call
        except CollectionNotFoundError as missing:
            self.end()
            raise self._gone() from missing
        except InvalidArgumentError:
            await self.check_current()
            raise

    def _gone(self) -> VecgateError:
        return CollectionNotFoundError(f"no collection is named {self.spec.name!r}")
