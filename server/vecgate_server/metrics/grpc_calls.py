"""What gRPC itself knows of the calls that came: more than those that it let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grpc_channelz.v1 import channelz, channelz_pb2
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

_SERVERS: Any = channelz.ChannelzServicer.GetServers


class GrpcCallCollector(Collector):
    """Calls that came to the ports of this process, and those of them that were let in and have ended.

    What came and never ends is what gRPC dropped (limits.max_waiting_calls), or what its caller gave up before its turn.
    """

    @override
    def collect(self) -> Iterator[Metric]:
        asked = channelz_pb2.GetServersRequest(start_server_id=0)
        figures = [server.data for server in _SERVERS(asked, None).server]
        yield CounterMetricFamily(
            "vecgate_grpc_calls",
            "Calls that came, of health, reflection and channelz too.",
            value=sum(each.calls_started for each in figures),
        )
        yield CounterMetricFamily(
            "vecgate_grpc_calls_ended",
            "Calls of these that were let in and have ended.",
            value=sum(each.calls_succeeded + each.calls_failed for each in figures),
        )
