"""Settings of who may reach the server: TLS, API keys, the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from vecgate_server.config_section import Section


class TlsSettings(Section):
    """PEM files of TLS; read again when they change."""

    certificate: Path | None = Field(
        default=None, description="The server's certificate with its chain. Unset: plain text."
    )
    key: Path | None = Field(default=None, description="Private key of the certificate, without a passphrase.")
    client_ca: Path | None = Field(
        default=None, description="CAs of clients' certificates; where it is set every client must have one (mTLS)."
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise ValueError(f"{missing} is missing; certificate and key go together")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs certificate and key: without TLS no client can show a certificate")
        return self


class SecuritySettings(Section):
    """Who may reach the server, and what is noted of it."""

    tls: TlsSettings = Field(default_factory=TlsSettings)
    keys_file: Path | None = Field(
        default=None, description="File of API keys, made by `vecgate-server keys`. Unset: calls need no key."
    )
    reload_seconds: float = Field(
        default=5.0, gt=0, le=3600, description="Seconds between two looks whether those files changed."
    )
    audit_file: Path | None = Field(
        default=None, description="Where the audit log goes. Unset: to standard error with the other records."
    )

    @property
    def lack(self) -> str:
        """What an address that others reach would need; "" if it has all."""
        lacks = []
        if self.tls.certificate is None:
            lacks.append("security.tls is not set, so that all is sent in plain text, API keys too")
        if self.keys_file is None and self.tls.client_ca is None:
            lacks.append(
                "neither security.keys_file nor security.tls.client_ca is set, so that everybody may read and delete everything"
            )
        return ", and ".join(lacks)
