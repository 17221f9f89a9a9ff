"""Waiting until a write is seen: by queries, which say how far they see, and by fetches, which do not."""

from __future__ import annotations

import asyncio

from vecgate_backends.errors import BackendUnavailableError
from vecgate_backends.pinecone.consistency import ConsistencyToken
from vecgate_backends.pinecone.identifiers import id_hash
from vecgate_backends.pinecone.index_requests import IndexRequests
from vecgate_backends.pinecone.record_codec import HASH

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.5
_NAMESAKES = 10
"""Ids that share a hash are rare; as many would still be told apart."""


class Visibility:
    """Tells of one collection what reads see."""

    def __init__(self, requests: IndexRequests, identity: str, dimension: int, seconds: float) -> None:
        self._requests = requests
        self._identity = identity
        self._probe = [1.0] + [0.0] * (dimension - 1)
        self._seconds = seconds

    def read_token(self, text: str | None) -> ConsistencyToken | None:
        """Decode a caller's token.

        Raises:
            TokenInvalidError: it is damaged, or of another collection.
        """
        return None if text is None else ConsistencyToken.decode(text, self._identity)

    async def require(self, token: ConsistencyToken | None, *, fetches: bool = True) -> None:
        """Wait until queries, and with `fetches` also fetches and listings, see a write.

        Raises:
            BackendUnavailableError: they do not within the time to wait.
        """
        if token is not None and not await self.reached(token, fetches=fetches):
            raise BackendUnavailableError(
                f"the write of the consistency token is not visible at Pinecone after {self._seconds:g} s",
                retry_after=1.0,
            )

    async def reached(self, token: ConsistencyToken, *, fetches: bool = True) -> bool:
        """Wait as `require` does, and tell whether it was worth it."""
        if not token.witness:
            return True
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        pause = FIRST_PAUSE_SECONDS
        while not await self._seen(token, fetches=fetches):
            if loop.time() + pause >= end:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return True

    async def gone(self, namespace: str, witness: str) -> ConsistencyToken:
        """Wait until queries and fetches no longer find a deleted record, and return a token of its delete.

        Pinecone tells no number of a delete; a query that sees it tells one that is no smaller. If the time to wait passes, the token
        has none, and its readers look for the record itself.
        """
        token = ConsistencyToken(self._identity, namespace, 0, witness, 0)
        if not await self.reached(token):
            return token
        _, seen = await self._state(namespace, witness)
        return ConsistencyToken(self._identity, namespace, seen or 0, witness, 0)

    async def _seen(self, token: ConsistencyToken, *, fetches: bool) -> bool:
        write, seen = await self._state(token.namespace, token.witness)
        certain = seen is not None and token.lsn > 0
        if not (seen is not None and seen >= token.lsn if certain else write == token.write):
            return False
        if not fetches:
            return True
        # What the query sees now may be newer than the write, or gone again: it is enough that the fetch agrees.
        fetched = (await self._requests.fetch(token.namespace, [token.witness])).get(token.witness)
        return write == (0 if fetched is None else fetched.write)

    async def _state(self, namespace: str, witness: str) -> tuple[int, int | None]:
        """Return the number of the write that queries see of a record, 0 for none, and how far they see."""
        same = {HASH: {"$eq": id_hash(witness)}}
        answer = await self._requests.query(namespace, self._probe, _NAMESAKES, same)
        return next((match.write for match in answer.matches if match.vendor_id == witness), 0), answer.seen
