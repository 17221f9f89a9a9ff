"""Calls that are announced to their callers before anything is done for them.

gRPC answers with CANCELLED what comes to a server while it stops (https://github.com/grpc/grpc/issues/41785) or past the calls that may
wait, and resets the stream of such a call. A caller that was told of its call before has that in front of the reset, as a connection keeps
the order. So CANCELLED without an announcement says that nothing was done, and that a write which must not be done twice may be sent again. (A proxy
that resets calls by itself can do so before an announcement has reached it.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vecgate.v1.write_pb2 import WRITE_MODE_INSERT


def _always(_: Any) -> bool:
    return True


def _inserts(request: Any) -> bool:
    return bool(request.mode == WRITE_MODE_INSERT)


ANNOUNCED: Mapping[str, Callable[[Any], bool]] = {
    "Upsert": _inserts,
    **dict.fromkeys(("UpdateMetadata", "Delete", "CreateCollection", "UpdateCollection", "DeleteCollection"), _always),
}
"""Methods of a single request that write → whether doing this request twice is not the same as doing it once."""


def is_announced(method: str, request: Any) -> bool:
    """Whether the caller is told of a call before it has any effect."""
    applies = ANNOUNCED.get(method)
    return applies is not None and applies(request)
