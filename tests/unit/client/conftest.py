"""Real gRPC servers, with TLS and without, that note what reaches them, and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trustme

from vecgate import TlsOptions
from vecgate.v1 import server_info_pb2

LIMITS = server_info_pb2.Limits(max_batch=100, max_message_bytes=1_000_000)


class NotingServer(grpc.GenericRpcHandler):
    """Notes each call with its metadata, tells its limits, and refuses everything else."""

    def __init__(self, refusal: Callable[[bytes, grpc.ServicerContext], bytes]) -> None:
        self._refusal = refusal
        self.calls: list[tuple[str, dict[str, str | bytes]]] = []
        self.stop: Callable[[], object]

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        self.calls.append((call.method, dict(call.invocation_metadata)))
        if call.method.endswith("/UpsertStream"):
            return grpc.stream_stream_rpc_method_handler(self._refusal)
        return grpc.unary_unary_rpc_method_handler(_limits if call.method.endswith("/GetServerInfo") else self._refusal)


def _limits(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return server_info_pb2.GetServerInfoResponse(limits=LIMITS).SerializeToString()


def _refusal(code: grpc.StatusCode, *, announced: bool) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def refuse(_request: bytes, context: grpc.ServicerContext) -> bytes:
        if announced:
            context.send_initial_metadata((("x-request-id", "request-7"),))
        context.abort(code, "not here")

    return refuse


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def other_authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(authority: trustme.CA) -> Iterator[Callable[..., tuple[NotingServer, str]]]:
    """Start a server, in plain text or, with `certificate`, with TLS; answer what it notes, and its address.

    It refuses calls with `code`, and tells their id first if they are `announced`.
    """
    servers = []

    def started(
        certificate: trustme.LeafCert | None = None,
        *,
        asks: bool = False,
        address: str = "127.0.0.1:0",
        code: grpc.StatusCode = grpc.StatusCode.UNIMPLEMENTED,
        announced: bool = False,
    ) -> tuple[NotingServer, str]:
        noting, server = (
            NotingServer(_refusal(code, announced=announced)),
            grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)]),
        )
        server.add_generic_rpc_handlers([noting])
        if certificate is None:
            port = server.add_insecure_port(address)
        else:
            pair = (certificate.private_key_pem.bytes(), chain_of(certificate))
            trusted = authority.cert_pem.bytes() if asks else None
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair], trusted, asks))
        server.start()
        servers.append(server)
        noting.stop = lambda: server.stop(grace=None).wait()
        return noting, f"{address.partition(':')[0]}:{port}"

    yield started
    for server in servers:
        server.stop(grace=None).wait()


@pytest.fixture
def with_certificate(authority: trustme.CA) -> Callable[[trustme.CA], TlsOptions]:
    """Make the options of a client that has a certificate of its own, by the issuer given."""

    def options(issuer: trustme.CA) -> TlsOptions:
        own = issuer.issue_cert("client@example.org")
        return TlsOptions(ca=authority.cert_pem.bytes(), certificate=chain_of(own), key=own.private_key_pem.bytes())

    return options


def chain_of(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
