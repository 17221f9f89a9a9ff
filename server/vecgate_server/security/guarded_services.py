"""Reflection and channelz behind the keys: they tell the API, and the addresses of those who are connected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from vecgate_server.calls.call import Call, Context
from vecgate_server.calls.caller import Scope
from vecgate_server.calls.gate import Gate
from vecgate_server.calls.observer import CallObserver
from vecgate_server.calls.registration import Services, register
from vecgate_server.calls.wrapping import Surroundings
from vecgate_server.errors import PermissionDeniedError


def add_guarded_services(services: Services, around: Surroundings, reflected: Sequence[str]) -> None:
    """Register reflection of some services, for every key, and channelz, for keys with scope admin."""
    for scope, add, servicer in (
        (
            Scope.READ,
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
            reflection.aio.ReflectionServicer(reflected),
        ),
        (Scope.ADMIN, channelz_pb2_grpc.add_ChannelzServicer_to_server, channelz.aio.ChannelzServicer()),
    ):
        add(servicer, cast("grpc.aio.Server", GuardedServer(services, around.gate, scope, around.observers)))


@dataclass(frozen=True, slots=True)
class GuardedServer:
    """A server where generated code registers a service whose every method asks for a key of a scope.

    What ends well is no call of VectorSearchService and told to nobody; what is refused is.
    """

    services: Services
    gate: Gate
    scope: Scope
    observers: Sequence[CallObserver]

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Leave out: generated code gives the same handlers by name, which can be wrapped one by one."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Register the handlers of a service, by the names of their methods."""
        guarded = {name: self._guarded(name, handler) for name, handler in handlers.items()}
        register(self.services, service, guarded)

    def _guarded(self, name: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        # gRPC types handlers for its blocking server, whence the casts.
        read, write = cast("Any", handler.request_deserializer), cast("Any", handler.response_serializer)

        async def answer(request: Any, context: Context) -> Any:
            await self._admit(name, context)
            return await cast("Any", handler.unary_unary)(request, context)

        async def converse(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            await self._admit(name, context)
            async for response in cast("Any", handler.stream_stream)(requests, context):
                yield response

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(cast("Any", converse), read, write)
        return grpc.unary_unary_rpc_method_handler(cast("Any", answer), read, write)

    async def _admit(self, method: str, context: Context) -> None:
        call = Call(method, context, self.observers)
        try:
            call.made_by(await self.gate.identify(method, call.metadata, call.peer))
            self._check_scope(call)
        except Exception as fault:  # noqa: BLE001  # every fault of a call ends here
            await call.fail(fault)

    def _check_scope(self, call: Call) -> None:
        if call.caller.scope < self.scope:
            raise PermissionDeniedError(f"{call.method} needs a key with scope {self.scope.name.lower()}")
        if self.scope is Scope.ADMIN and not call.caller.collections.all:
            raise PermissionDeniedError(f"{call.method} concerns the whole server; this key is for some collections")
