"""Consistency tokens: the identity of the collection, and whether Qdrant had applied the write when it returned."""

from __future__ import annotations

from vecgate_backends.errors import TokenInvalidError
from vecgate_backends.qdrant.settings import Identity

_APPLIED, _WAITING = "a", "w"


def write_token(identity: Identity, *, applied: bool) -> str:
    """Return the token of a write."""
    return f"{identity.digits}.{_APPLIED if applied else _WAITING}"


def write_applied(token: str, identity: Identity) -> bool:
    """Read a token: whether the write behind it is known to be applied.

    Raises:
        TokenInvalidError: it is damaged or of another collection.
    """
    digits, _, state = token.partition(".")
    if digits != identity.digits or state not in {_APPLIED, _WAITING}:
        raise TokenInvalidError("the consistency token is damaged or of another collection")
    return state == _APPLIED
