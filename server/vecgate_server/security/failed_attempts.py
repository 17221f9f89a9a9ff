"""How often wrong keys may be tried: a bucket of attempts for each address, which fills again slowly."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from urllib.parse import unquote

ATTEMPTS = 20
"""Wrong keys that one address may send at once."""
ATTEMPTS_PER_SECOND = 0.2
"""How many more it may send later: 12 a minute."""
MOST_ADDRESSES = 10_000
"""Remembered; of more, those that were not heard of for longest begin anew. Verifications are bounded altogether too: key_ring."""


class FailedAttempts:
    """A bucket for each address of peers, full at first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the time from `clock`, in seconds."""
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """Take one attempt of an address; return 0.0, or the seconds until there is one to take."""
        left = self._now_left(address)
        if left < 1:
            return (1 - left) / ATTEMPTS_PER_SECOND
        self._keep(address, left - 1)
        return 0.0

    def give_back(self, address: str) -> None:
        """Return the attempt of a key that was right."""
        self._keep(address, min(ATTEMPTS, self._now_left(address) + 1))

    def _now_left(self, address: str) -> float:
        left, since = self._left.get(address, (float(ATTEMPTS), self._clock()))
        return min(float(ATTEMPTS), left + (self._clock() - since) * ATTEMPTS_PER_SECOND)

    def _keep(self, address: str, left: float) -> None:
        self._left[address] = left, self._clock()
        self._left.move_to_end(address)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)


def address_of(peer: str) -> str:
    """Return the address of a peer that gRPC writes as ipv4:10.0.0.1:4711.

    Of IPv6 it is the network of 64 bits, which one customer of a provider has to himself.
    """
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return peer
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.exploded[:19]
