"""The certificate that new connections get; it can be replaced while the server serves, and open connections go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import grpc

from vecgate_server.security.tls_files import TlsFiles

SOON = timedelta(days=14)

log = logging.getLogger(__name__)


class ServedCertificate:
    """What gRPC asks for at each handshake, in threads of its own."""

    def __init__(self, files: TlsFiles, expires: datetime) -> None:
        """Begin with checked files; whether clients must have a certificate is settled with them."""
        self._asks = files.client_ca is not None
        self.replace(files, expires)
        self._told = self._configuration

    @property
    def expires(self) -> datetime:
        """When the one that is served now expires."""
        return self._expires

    def replace(self, files: TlsFiles, expires: datetime) -> None:
        """Serve checked files from the next handshake on."""
        self._configuration = grpc.ssl_server_certificate_configuration(
            [(files.key, files.certificate)], root_certificates=files.client_ca
        )
        self._expires = expires
        log.log(
            logging.WARNING if expires - datetime.now(UTC) < SOON else logging.INFO,
            "the certificate that is served expires at %s",
            expires.isoformat(),
        )

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials of a port."""
        # gRPC takes None for "as before", which its types do not say.
        news = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._news)
        return grpc.dynamic_ssl_server_credentials(self._configuration, news, require_client_authentication=self._asks)

    def _news(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if it is another than at the handshake before; gRPC keeps what it was told."""
        configuration = self._configuration
        if configuration is self._told:
            return None
        self._told = configuration
        return configuration
