"""How the methods of a service come to a server of gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio


def register(server: grpc.aio.Server, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
    """Have a server answer the methods of a service, found by the name in each call.

    gRPC's registered methods would spare it that search, but grpc.aio knows them from 1.84 on only, and from there on a call whose path is no
    UTF-8 ends the server.

    Args:
        server: not started yet.
        service: its full name.
        handlers: by the names of the methods.
    """
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(handlers)),))
