"""GetServerInfo."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from vecgate.v1 import server_info_pb2 as wire
from vecgate_backends.contract import Capabilities
from vecgate_server.calls.allotment import Allotment
from vecgate_server.calls.caller import caller
from vecgate_server.config_limits import LimitSettings
from vecgate_server.configured_backend import ConfiguredBackend
from vecgate_server.directory import Directory
from vecgate_server.translate.enums import METRICS_TO_WIRE

VERSION = version("vecgate")


class InfoHandlers:
    """What this server is."""

    def __init__(self, directory: Directory, default_model: str, limits: LimitSettings) -> None:
        self._directory = directory
        self._default_model = default_model
        self._limits = limits

    async def server_info(self) -> wire.GetServerInfoResponse:
        """Describe the server; each backend is asked now whether it works."""
        backends = self._directory.backends
        faults = await asyncio.gather(*(each.fault() for each in backends))
        return wire.GetServerInfoResponse(
            version=VERSION,
            default_model=self._default_model,
            default_backend=self._directory.default,
            backends=[_backend(each, fault) for each, fault in zip(backends, faults, strict=True)],
            limits=_limits(self._limits),
        )


def _backend(configured: ConfiguredBackend, fault: str) -> wire.BackendInfo:
    return wire.BackendInfo(
        name=configured.name,
        kind=configured.kind,
        healthy=not fault,
        # It may name addresses, paths and collections.
        detail=fault if caller.get().sees_all else fault and "it does not work; the server's log says why",
        capabilities=_capabilities(configured.capabilities),
    )


def _capabilities(capabilities: Capabilities) -> wire.Capabilities:
    return wire.Capabilities(
        metrics=sorted(METRICS_TO_WIRE[metric] for metric in capabilities.metrics),
        max_dimension=capabilities.max_dimension,
        index_kinds=sorted(capabilities.index_kinds),
        durable=capabilities.durable,
        searchable_on_write=capabilities.searchable_on_write,
        exact_search=capabilities.exact_search,
        consistency_tokens=capabilities.consistency_tokens,
        filtered_writes=capabilities.filtered_writes,
        field_stats=capabilities.field_stats,
        encoding_stamps=capabilities.encoding_stamps,
        index_updates=capabilities.index_updates,
    )


def _limits(limits: LimitSettings) -> wire.Limits:
    told = wire.Limits(**limits.model_dump(include=set(wire.Limits.DESCRIPTOR.fields_by_name)))
    own = Allotment.of(caller.get(), limits)
    told.max_calls_per_key, told.max_streams_per_key = own.calls, own.streams
    told.requests_per_second_per_key, told.tokens_per_second_per_key = own.requests_per_second, own.tokens_per_second
    return told
