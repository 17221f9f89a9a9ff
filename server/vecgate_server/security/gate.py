"""The gate of a server with API keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from vecgate_server.calls.caller import Caller, claimed_key
from vecgate_server.calls.gate import Gate
from vecgate_server.errors import PermissionDeniedError, UnauthenticatedError
from vecgate_server.security.api_key import key_id
from vecgate_server.security.key_ring import KeyRing, presented_key
from vecgate_server.security.methods import DEMANDS, Demand, Reach


class KeyGate(Gate):
    """Lets in whoever has a key, as far as the key goes.

    Everything is refused before anything is looked up, so that a refusal tells nothing of what exists.
    """

    def __init__(self, keys: KeyRing) -> None:
        """Ask these keys."""
        self._keys = keys

    @override
    async def identify(self, method: str, metadata: Sequence[tuple[str, str | bytes]], peer: str) -> Caller:
        try:
            return await self._keys.caller(metadata, peer)
        except Exception:
            claimed_key.set(_claimed(metadata))
            raise

    @override
    def admit(self, caller: Caller, method: str) -> None:
        demand = _demand(method)
        if caller.scope < demand.scope:
            raise PermissionDeniedError(
                f"{method} needs a key with scope {demand.scope.name.lower()}; this one has {caller.scope.name.lower()}"
            )
        if demand.reach is Reach.EVERY_NAMESPACE and caller.namespace is not None:
            raise PermissionDeniedError(f"{method} concerns every namespace; this key is bound to one")

    @override
    def authorize(self, caller: Caller, method: str, request: Any) -> None:
        # Streams live long: the key may have ended, or go less far than it did.
        now = self._keys.now(caller)
        demand = _demand(method)
        if now is not caller and now.rights != caller.rights:
            raise PermissionDeniedError("what the key may do was changed during the call; begin it again")
        if not demand.collection:
            return
        place = demand.place(request)
        if place is None:
            return
        name = getattr(place, demand.collection)
        # No name is a fault of the request, which is told as such.
        if name and name not in caller.collections:
            raise PermissionDeniedError(f"this key is not for collection {_shown(name)}")
        if demand.reach is Reach.RECORDS and caller.namespace is not None:
            _force_namespace(place, caller.namespace)


def _force_namespace(place: Any, bound: str) -> None:
    if place.namespace and place.namespace != bound:
        raise PermissionDeniedError(
            f"this key is for namespace {bound!r} alone; leave the namespace out, or name that one"
        )
    place.namespace = bound


def _demand(method: str) -> Demand:
    try:
        return DEMANDS[method]
    except KeyError:
        raise PermissionDeniedError(f"no key is for {method}") from None


def _claimed(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    try:
        return key_id(presented_key(metadata)) or ""
    except UnauthenticatedError:
        return ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 45 else f"{name[:45]}…")
