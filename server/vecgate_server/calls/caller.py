"""Who makes a call, and what that lets it do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum

from vecgate_server.calls.name_patterns import ALL_NAMES, NamePatterns


class Scope(IntEnum):
    """What kind of calls may be made; each includes the ones before it."""

    READ = 1
    """Search, read, count, encode; nothing changes."""
    WRITE = 2
    """Store, change and delete records."""
    ADMIN = 3
    """Make, change and delete collections."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a call, as far as it is known.

    Attributes:
        key: the public id of the API key that the call carries; "" for a call without one.
        scope: the most that the caller may do.
        collections: those that it may do it in.
        namespace: the only one that it may touch; None: all.
        max_calls, requests_per_second, tokens_per_second: what the entry of that key gives it, 0 for no limit; None leaves it to the
            settings (limits.max_calls_per_key and so on).
    """

    key: str = ""
    scope: Scope = Scope.ADMIN
    collections: NamePatterns = ALL_NAMES
    namespace: str | None = None
    max_calls: int | None = None
    requests_per_second: float | None = None
    tokens_per_second: float | None = None

    @property
    def rights(self) -> tuple[Scope, NamePatterns, str | None]:
        """What it may do, apart from how much of it."""
        return self.scope, self.collections, self.namespace

    @property
    def sees_all(self) -> bool:
        """Whether nothing that is stored is kept from it."""
        return self.collections.all and self.namespace is None


ANYBODY = Caller()
"""Where no keys are configured."""

caller: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
"""Who makes the call that is being answered."""

claimed_key: ContextVar[str] = ContextVar("claimed_key", default="")
"""The public id in the key of a call that was refused; whoever sent it need not have the key."""
