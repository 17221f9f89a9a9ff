"""The command healthcheck: the health of the server that runs here, for container engines and scripts, which do not speak gRPC."""

from __future__ import annotations

from pathlib import Path

import click
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vecgate_server.config import ServerSettings, load_settings
from vecgate_server.config_faults import InvalidSettingsError
from vecgate_server.config_option import config_option
from vecgate_server.exit_codes import FAILED, WRONG_USE, end

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}  # noqa: S104  # where a server of all addresses is asked
Status = HealthCheckResponse.ServingStatus


@click.command(short_help="Ask the server that runs here for its health.")
@click.option(
    "--service", default="", metavar="NAME", help="A service of grpc.health.v1. Default: the server as a whole."
)
@click.option("--timeout", default=3.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds to wait.")
@config_option
@click.pass_obj
def healthcheck(group_config: Path | None, service: str, timeout: float, config: Path | None) -> None:
    """Ask the server of these settings, at `server.health_port` of this machine, whether it is SERVING.

    Exit code 0 if it is, 1 if it is not or does not answer, 2 if the settings are wrong or name no such port.
    """
    try:
        server = load_settings(config or group_config).server
    except InvalidSettingsError as fault:
        end(WRONG_USE, str(fault))
    address = _address(server)
    try:
        # A proxy of the environment does not lead to this machine.
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            check: grpc.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
            answer = check(HealthCheckRequest(service=service), timeout=timeout)
    except grpc.RpcError as fault:
        end(FAILED, f"{address} tells no health of {service!r}: {fault.code().name}")
    if answer.status != HealthCheckResponse.SERVING:
        end(FAILED, f"{address}: {Status.Name(answer.status)}")
    click.echo(f"{address}: SERVING")


def _address(server: ServerSettings) -> str:
    if not server.health_port:
        end(WRONG_USE, "healthcheck asks server.health_port, and it is not set; give it a port that is not 0")
    host = f"[{server.health_host}]" if server.health_host.count(":") > 1 else server.health_host
    return f"{LOOPBACK.get(server.health_host, host)}:{server.health_port}"
