"""Settings of what the server tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from vecgate_server.config_section import Section

HeaderName = Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$", max_length=256)]


class TraceSettings(Section):
    """Where traces of calls go, over OTLP, and of how many."""

    endpoint: str | None = Field(
        default=None,
        description="Address of an OTLP collector over gRPC: http://HOST:4317, or https:// for TLS. Unset: no traces.",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the calls that are traced, of those whose caller has not decided it.",
    )
    service_name: str = Field(default="vecgate", min_length=1, description="What traces call this server.")
    headers: Mapping[HeaderName, SecretStr] = Field(
        default_factory=dict, description="Metadata for the collector, such as a key; from the environment."
    )
    headers_file: Path | None = Field(
        default=None, description="A file with such metadata, a line `name: value` each; read at the start."
    )

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("is no address of a collector: write http://HOST:4317, or https:// for TLS")
        return endpoint


class TelemetrySettings(Section):
    """What the server tells about itself: on standard error, as metrics over HTTP, and as traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity logged."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="One line of text, or one JSON object, a record."
    )
    slow_call_seconds: float = Field(
        default=5.0,
        ge=0,
        le=86_400,
        description="Calls that take at least so long are logged with where the time went; 0: none.",
    )
    metrics_host: str = Field(default="127.0.0.1", min_length=1, description="Address of the metrics.")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the metrics; 0 lets the system pick one. Unset: no metrics."
    )
    traces: TraceSettings = Field(default_factory=TraceSettings)
