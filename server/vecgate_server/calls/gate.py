"""Whether a caller may make a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from typing_extensions import override

from vecgate_server.calls.caller import ANYBODY, Caller


class Gate(Protocol):
    """Tells who calls, and what they may do."""

    async def identify(self, method: str, metadata: Sequence[tuple[str, str | bytes]], peer: str) -> Caller:
        """Tell who makes a call, before its request is read.

        Args:
            method: the name of the method, such as "Search".
            metadata: what the call carries.
            peer: the address of the connection, as gRPC writes it.

        Raises:
            UnauthenticatedError: nobody who may make any call.
        """

    def admit(self, caller: Caller, method: str) -> None:
        """Check that a caller may use a method at all, before its request is read.

        Raises:
            PermissionDeniedError: not this method.
        """

    def authorize(self, caller: Caller, method: str, request: Any) -> None:
        """Check what a caller asks for: a request, or each message of a stream. It may be changed here, into what the caller may ask for.

        Raises:
            UnauthenticatedError: the caller's key has ended since the call began.
            PermissionDeniedError: not this.
        """


class OpenGate(Gate):
    """Lets everybody do everything."""

    @override
    async def identify(self, method: str, metadata: Sequence[tuple[str, str | bytes]], peer: str) -> Caller:
        return ANYBODY

    @override
    def admit(self, caller: Caller, method: str) -> None:
        pass

    @override
    def authorize(self, caller: Caller, method: str, request: Any) -> None:
        pass
