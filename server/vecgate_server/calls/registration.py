"""What a server of gRPC answers, gathered before it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc


class Services:
    """Where generated code registers services as it would at a server.

    Attributes:
        handlers: what has been registered; each finds methods by their names.
    """

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take what finds methods by their names."""
        self.handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        """Leave out: generated code gives the same methods as above.

        gRPC's registered methods would spare it the search by name, but grpc.aio knows them from 1.84 on only, and from there on a call whose
        path is no UTF-8 ends the server.
        """


def register(services: Services, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
    """Have the methods of a service answered.

    Args:
        services: where to register it.
        service: its full name.
        handlers: by the names of the methods.
    """
    services.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(handlers)),))
