"""How often wrong keys may be tried: a bucket of attempts for each address, which fills again slowly."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from urllib.parse import unquote

from vecgate_server.calls.token_bucket import TokenBucket

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
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, address: str) -> float:
        """Take one attempt of an address; return 0.0, or the seconds until there is one to take."""
        bucket = self._bucket(address)
        seconds = bucket.seconds_until(1)
        if not seconds:
            bucket.take(1)
        return seconds

    def give_back(self, address: str) -> None:
        """Return the attempt of a key that was right."""
        self._bucket(address).take(-1)

    def _bucket(self, address: str) -> TokenBucket:
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(ATTEMPTS / ATTEMPTS_PER_SECOND, self._clock)
            bucket.set_rate(ATTEMPTS_PER_SECOND)
            if len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket


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
