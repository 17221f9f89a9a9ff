"""A rate with a burst: the token bucket of RFC 2697, which may also go into debt."""

from __future__ import annotations

from collections.abc import Callable

LONGEST_PROMISE_SECONDS = 5.0
"""Of those told to come back some never do: no turn is promised later than this."""

NOTHING = 1e-6
"""Units that are missing by rounding alone."""


class TokenBucket:
    """Fills at a rate up to what fits; takes what was used, also more than there is."""

    __slots__ = ("_burst_seconds", "_clock", "_filled", "_level", "_promised", "rate")

    def __init__(self, burst_seconds: float, clock: Callable[[], float]) -> None:
        """Begin without a limit.

        Args:
            burst_seconds: how many seconds of its rate fit into the bucket, though at least 1 unit does.
            clock: monotonic seconds.
        """
        self._burst_seconds = burst_seconds
        self._clock = clock
        self.rate = 0.0
        """Units a second; 0: no limit."""
        self._level = 0.0
        self._filled = clock()
        self._promised = 0.0

    def set_rate(self, rate: float) -> None:
        """Follow a change of the rate; one that gets a limit begins full."""
        if rate == self.rate:
            return
        self._fill()
        had_limit, self.rate = bool(self.rate), rate
        self._level = min(self._level, self._capacity) if had_limit else self._capacity

    def seconds_until(self, units: float) -> float:
        """Return how long it takes until there are so many; 0 if there are now, or without a limit."""
        if not self.rate:
            return 0.0
        self._fill()
        missing = units - self._level
        return missing / self.rate if missing > NOTHING else 0.0

    def take(self, units: float) -> None:
        """Take so many, whether they are there or not: what is missing has to be filled up first."""
        if self.rate:
            self._fill()
            self._level -= units

    def promise(self) -> float:
        """Return after how many seconds to come back for one unit; whoever asks next is told a later turn."""
        now = self._clock()
        turn = max(now + self.seconds_until(1), self._promised + 1 / self.rate)
        self._promised = min(turn, now + LONGEST_PROMISE_SECONDS)
        return self._promised - now

    @property
    def _capacity(self) -> float:
        return max(1.0, self.rate * self._burst_seconds)

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled) * self.rate)
        self._filled = now
