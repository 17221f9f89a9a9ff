"""Cutting long inputs into requests, by items and by bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from vecgate.errors import InvalidArgumentError
from vecgate.server_info import Limits
from vecgate.v1 import search_pb2

Item = TypeVar("Item")

BATCH_ITEMS = 256
"""Items of one request unless asked otherwise: enough to amortise the call, few enough that a slow CPU encodes them
well within the default deadline."""
BATCH_BYTES = 2 * 1024 * 1024
"""Bytes of one request at which the next is begun, below gRPC's customary 4 MiB."""
ENVELOPE_BYTES = 4_096
"""Room for what a request carries beside its items: names, options, the framing of each field."""
DEFAULT_MATCHES = 100
"""Matches that a query may cost where its options name no number: to be reranked are more than are answered."""
FRAMING_BYTES = 8
"""Bytes that protobuf adds around an item at most, tag and length."""


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """How large one request may get. `max_bytes` is what a single item may have at most."""

    items: int
    bytes: int
    max_bytes: int

    def beside(self, size: int) -> BatchBounds:
        """Leave room for something of `size` bytes that every request carries."""
        return replace(self, bytes=max(self.bytes - size, 1), max_bytes=max(self.max_bytes - size, 1))


def batch_bounds(limits: Limits, batch_size: int | None = None) -> BatchBounds:
    """Choose the size of requests to a server with these limits.

    Args:
        limits: the server's.
        batch_size: most items of one request; None leaves it to the client.

    Raises:
        InvalidArgumentError: `batch_size` is not within 1 and the server's limit.
    """
    if batch_size is not None and not 1 <= batch_size <= limits.max_batch:
        raise InvalidArgumentError.at("batch_size", f"{batch_size} is not within 1 to {limits.max_batch}")
    largest = limits.max_message_bytes - ENVELOPE_BYTES
    return BatchBounds(
        items=batch_size or min(limits.max_batch, BATCH_ITEMS), bytes=min(BATCH_BYTES, largest), max_bytes=largest
    )


def query_bounds(limits: Limits, batch_size: int | None, options: search_pb2.SearchOptions) -> BatchBounds:
    """Choose the size of SearchBatch requests: as batch_bounds(), and no more matches in one answer than the server gives.

    Args:
        limits: the server's.
        batch_size: most queries of one request; None leaves it to the client.
        options: of all queries.

    Raises:
        InvalidArgumentError: as batch_bounds().
    """
    bounds = batch_bounds(limits, batch_size)
    matches = max(DEFAULT_MATCHES, options.top_k, options.rerank.depth)
    if not limits.max_matches:
        return bounds
    return replace(bounds, items=max(1, min(bounds.items, limits.max_matches // matches)))


class Batcher(Generic[Item]):
    """Gathers items, in order, into lists that obey the bounds. An item larger than `bounds.bytes` goes alone.

    Args:
        size_of: bytes of an item on the wire.
        bounds: how large a list may get.
    """

    def __init__(self, size_of: Callable[[Item], int], bounds: BatchBounds) -> None:
        self._size_of = size_of
        self._bounds = bounds
        self._batch: list[Item] = []
        self._bytes = 0

    def add(self, item: Item) -> Iterator[list[Item]]:
        """Take an item, and yield the lists that it completes: the one it does not fit into, the one it fills."""
        size = self._size_of(item) + FRAMING_BYTES
        if self._bytes + size > self._bounds.bytes:
            yield from self.rest()
        self._batch.append(item)
        self._bytes += size
        # At once: the next item may be long in coming.
        if len(self._batch) == self._bounds.items:
            yield from self.rest()

    def rest(self) -> Iterator[list[Item]]:
        """Yield what is gathered, if anything is."""
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            yield batch


def batches(items: Iterable[Item], size_of: Callable[[Item], int], bounds: BatchBounds) -> Iterator[list[Item]]:
    """Cut items into lists, lazily; see Batcher."""
    batcher = Batcher(size_of, bounds)
    for item in items:
        yield from batcher.add(item)
    yield from batcher.rest()
