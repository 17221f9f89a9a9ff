"""The client itself, put together from its parts."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from vecgate.aio.collections import AsyncCollections
from vecgate.aio.connection import AsyncConnection
from vecgate.aio.encoding import AsyncEncoding
from vecgate.aio.ingesting import AsyncIngesting
from vecgate.aio.reading import AsyncReading
from vecgate.aio.searching import AsyncSearching
from vecgate.aio.server import AsyncServer
from vecgate.aio.writing import AsyncWriting
from vecgate.channel import DEFAULT_TARGET, Deadlines
from vecgate.security import TlsOptions, channel_security


class AsyncClient(
    AsyncCollections, AsyncEncoding, AsyncWriting, AsyncIngesting, AsyncSearching, AsyncReading, AsyncServer
):
    """A client of one vecgate server, over one connection.

    Every method takes `timeout`, in seconds, for each request it makes, retries included; without it the client's
    Deadlines hold. Every method raises errors of the tree in vecgate.errors, decided by machine reasons.
    Reads, and upserts in the modes "upsert" and "update", are sent again a few times when the server is unavailable.

        async with AsyncClient("localhost:50051") as client:
            await client.create_collection("docs", exist_ok=True)
            await client.upsert("docs", [{"id": "cat", "text": "The cat sat on the mat."}])
            for match in await client.search("docs", "Where is the cat?", top_k=3):
                print(match.score, match.text)
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        deadlines: Deadlines | None = None,
        tls: bool | TlsOptions = False,
        api_key: str | None = None,
        allow_plaintext_api_key: bool = False,
    ) -> None:
        """Prepare a connection; it is made at the first call.

        Args:
            target: host:port, or any gRPC target such as dns:///vecgate.internal:50051 (its addresses share the load).
            deadlines: default seconds a request may take, by kind.
            tls: True: encrypted, with a server whose certificate a public CA signed; TlsOptions: other CAs, a certificate
                of the client's own; False: plain text.
            api_key: sent with every call, as `authorization: Bearer …`.
            allow_plaintext_api_key: send the key though nothing is encrypted; without this only to loopback.

        Raises:
            InvalidArgumentError: a target, certificate or key that cannot be used; a key that would go out in plain text.
            RuntimeError: no event loop runs.
        """
        security = channel_security(target, tls, api_key, allow_plaintext_api_key=allow_plaintext_api_key)
        super().__init__(AsyncConnection(target, deadlines or Deadlines(), security))

    @property
    def target(self) -> str:
        """The address it was made with."""
        return self._connection.target

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled. Calling it again does nothing."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
