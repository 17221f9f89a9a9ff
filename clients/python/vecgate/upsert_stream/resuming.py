"""Whether a stream that ended is taken up again, when, and how long a server is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import grpc

from vecgate.channel import pauses
from vecgate.errors import TlsError, VecgateError


def _anyone(_: VecgateError) -> bool:
    return True


def _never(_: VecgateError) -> bool:
    return False


def _no_server(error: VecgateError) -> bool:
    return error.request_id is None


INTERRUPTIONS: Mapping[grpc.StatusCode, Callable[[VecgateError], bool]] = {
    # No server there, one that goes away, or one whose backend is away.
    grpc.StatusCode.UNAVAILABLE: _anyone,
    # How broken connections, and proxies that give up on one, look from here. From the server itself they are final. INTERNAL is also
    # what grpc.aio makes of a status that comes while a message is being sent; the next stream, with one batch alone, meets it again.
    grpc.StatusCode.CANCELLED: _no_server,
    grpc.StatusCode.DEADLINE_EXCEEDED: _no_server,
    grpc.StatusCode.INTERNAL: _no_server,
    grpc.StatusCode.UNKNOWN: _no_server,
}
"""Statuses after which another stream may get further, and of whom: every other status is final.

Whatever its status, an error that says when to come back is none that ends the upsert.
"""


class Resuming:
    """The pauses before the next stream: growing as long as nothing gets through, as the client's calls have them."""

    def __init__(self, *, repeatable: bool) -> None:
        """Begin with the shortest pause; `repeatable`: a batch may be sent again though it may have been stored."""
        self._repeatable = repeatable
        self.renew()

    def renew(self) -> None:
        """Begin with the shortest pause again: the server did something."""
        self._endless = pauses(attempts=None)
        self._few = pauses()

    def pause(self, error: VecgateError, *, unsettled: int, remaining: float) -> float | None:
        """Decide whether and when to open the next stream.

        Args:
            error: what ended the last one.
            unsettled: records that were sent on it and have no result.
            remaining: seconds until the upsert gives up.

        Returns:
            Seconds to wait, or None if the error is final.
        """
        if isinstance(error, TlsError) or (unsettled and not self._repeatable):
            return None
        pause = None
        if error.retry_after is not None:
            # Spread out, so that the callers refused together do not come back together.
            pause = error.retry_after + next(pauses())
        elif INTERRUPTIONS.get(error.code, _never)(error):
            # A server that is away comes back; what else a proxy may say, it may say for ever.
            pause = next(self._endless if error.code is grpc.StatusCode.UNAVAILABLE else self._few, None)
        return pause if pause is not None and pause < remaining else None


class Patience:
    """How long a server is waited for. It runs out only while something is expected of the server."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._since: float | None = None

    def expect(self, *, something: bool) -> None:
        """Say whether something is expected of the server from now on."""
        if not something:
            self._since = None
        elif self._since is None:
            self._since = self._clock()

    def renew(self) -> None:
        """Begin to wait anew: the server did something."""
        if self._since is not None:
            self._since = self._clock()

    def remaining(self) -> float:
        """Return the seconds that are left, at least 0."""
        return self.seconds if self._since is None else max(self._since + self.seconds - self._clock(), 0.0)
