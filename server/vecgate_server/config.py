"""Settings: one YAML file, overridden by environment variables, checked as a whole before anything starts.

A variable is VECGATE_ and the path with two underscores for each dot: VECGATE_SERVER__PORT=50052 is server.port. A list is
given as JSON. This is the only module that reads the environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from vecgate_server.config_faults import InvalidSettingsError, closest, describe_fault, unknown_key
from vecgate_server.config_file import read_yaml
from vecgate_server.config_limits import LimitSettings
from vecgate_server.config_models import EncoderSettings, ModelSettings
from vecgate_server.config_section import Section
from vecgate_server.config_security import SecuritySettings
from vecgate_server.config_telemetry import TelemetrySettings

ENVIRONMENT_PREFIX = "VECGATE_"
NESTING = "__"
LAST_PORT = 65_535
SERVICE_LINKS = ("tcp://", "udp://", "sctp://")
"""How the addresses begin that Kubernetes puts into variables."""
OPTION = re.compile(r"backends_[a-z0-9-]+_options_\w+")
EXAMPLE = "backends.qdrant.options.api_key"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=45)]


class ServerSettings(Section):
    """Where the server listens and how it stops."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=50051, ge=0, le=65535, description="Port to listen on; 0 lets the system pick one.")
    allow_insecure: bool = Field(default=False, description="Listen beyond loopback although TLS or keys are missing.")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve the port; more than 1 only where every backend's store is a service of its own.",
    )
    shutdown_grace_seconds: float = Field(
        default=20.0, ge=0, le=3600, description="Seconds that calls in flight get to finish on SIGTERM."
    )
    health_interval_seconds: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="Seconds between two looks at models and backends for the health service.",
    )
    health_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address of a port that tells health alone, in plain text."
    )
    health_port: int | None = Field(
        default=None, ge=0, le=65535, description="That port; 0 lets the system pick one. Unset: none."
    )
    max_connection_age_seconds: float = Field(
        default=0.0, ge=0, le=86_400, description="Age at which a connection is asked to go; 0: none is."
    )
    max_connection_age_grace_seconds: float = Field(
        default=30.0, ge=0, le=86_400, description="Seconds that its calls in flight get then."
    )

    @property
    def shares_port(self) -> bool:
        """Whether several processes listen on each port."""
        return self.workers > 1


class BackendSettings(Section):
    """One backend: its kind and its own options."""

    kind: str = Field(description='What it is: "faiss", "memory" or the name of an installed plug-in.')
    options: Mapping[str, Any] = Field(default_factory=dict, description="Options of that kind; see docs.")


DEFAULT_BACKENDS = {"faiss": BackendSettings(kind="faiss", options={"path": "./vecgate-data"})}


class Settings(BaseSettings):
    """All settings; frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter=NESTING
    )

    server: ServerSettings = Field(default_factory=ServerSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    backends: dict[Name, BackendSettings] = Field(
        default=DEFAULT_BACKENDS,
        min_length=1,
        description="Backends by the name that collections refer to.",
    )
    default_backend: str = Field(default="", description="Backend of collections that name none; unset: the first.")
    models: ModelSettings = Field(default_factory=ModelSettings)
    encoder: EncoderSettings = Field(default_factory=EncoderSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)

    @property
    def default_backend_name(self) -> str:
        """The backend of collections that name none."""
        return self.default_backend or next(iter(self.backends))

    @model_validator(mode="after")
    def _refuse_open_listener(self) -> Self:
        host, lack = self.server.host, self.security.lack
        if lack and not (self.server.allow_insecure or _is_loopback(host)):
            raise ValueError(
                f"server.host {host!r} is reachable from elsewhere, and {lack}: set what is missing (docs/security.md), "
                "or server.allow_insecure: true if the network is trusted"
            )
        return self

    @model_validator(mode="after")
    def _know_the_default_backend(self) -> Self:
        if self.default_backend_name not in self.backends:
            raise ValueError(
                f"default_backend names {self.default_backend!r}, which is not among backends"
                f"{closest(self.default_backend, self.backends)}"
            )
        return self

    @model_validator(mode="after")
    def _have_a_metrics_port_for_each_process(self) -> Self:
        port, workers = self.telemetry.metrics_port, self.server.workers
        if port and port + workers - 1 > LAST_PORT:
            raise ValueError(
                f"telemetry.metrics_port {port} leaves no port for each of server.workers: they take it and the next "
                f"{workers - 1}; {LAST_PORT - workers + 1} is the highest that does"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library passes it; no .env file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file's values, which arrive as arguments."""
        del settings_cls
        return env_settings, init_settings


def load_settings(path: Path | None) -> Settings:
    """Read the file (None: defaults only) and the environment.

    Raises:
        InvalidSettingsError: something is wrong; one line that names the path of the key and what would be right.
    """
    written = read_yaml(path) if path else {}
    # A section whose every key is a comment is null in YAML; an unknown one is left for the check.
    document = {key: value for key, value in written.items() if value is not None or key not in Settings.model_fields}
    # Here and not left to the field's default, so that a variable can change one option of the default backend.
    document.setdefault("backends", {name: backend.model_dump() for name, backend in DEFAULT_BACKENDS.items()})
    _refuse_unknown_variables()
    try:
        return Settings(**document)
    except ValidationError as invalid:
        raise InvalidSettingsError(describe_fault(invalid, Settings)) from None
    except (ValueError, SettingsError) as invalid:  # pydantic-settings, for JSON it cannot read in a variable
        raise InvalidSettingsError(_broken_json() or " ".join(str(invalid).split())) from None


def settings_text(settings: Settings) -> str:
    """Write settings as YAML, defaults filled in."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _refuse_unknown_variables() -> None:
    """Refuse VECGATE_X__Y whose X is no section, and a path written with one underscore for a dot.

    Other variables are left alone unless they nearly name a setting: Kubernetes puts VECGATE_PORT and VECGATE_SERVICE_HOST into
    every pod beside a service named "vecgate", and VECGATE_SERVER_PORT=tcp://... beside one named "vecgate-server".
    """
    sections = list(Settings.model_fields)
    paths = {path.replace(".", "_"): path for path in _paths(Settings)}
    for variable, value in os.environ.items():
        if not variable.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable[len(ENVIRONMENT_PREFIX) :].lower()
        head, nested, _ = name.partition(NESTING)
        if head not in sections and (nested or closest(head, sections, cutoff=0.85)):
            raise InvalidSettingsError(f"environment variable {variable}: {unknown_key(head, sections)}")
        path = paths.get(name) or (OPTION.fullmatch(name) and EXAMPLE)
        if head not in sections and path and not value.startswith(SERVICE_LINKS):
            raise InvalidSettingsError(
                f"environment variable {variable}: two underscores stand for each dot, as in "
                f"{ENVIRONMENT_PREFIX}{path.upper().replace('.', NESTING)}"
            )


def _broken_json() -> str:
    """Name the variable whose JSON cannot be read, and where it breaks; not what stands in it, which may be a secret."""
    for variable, value in os.environ.items():
        if variable.upper().startswith(ENVIRONMENT_PREFIX) and value.lstrip()[:1] in ("{", "["):
            try:
                json.loads(value)
            except ValueError as fault:
                return f"environment variable {variable}: no valid JSON: {fault}"
    return ""


def _paths(section: type[BaseModel]) -> Iterator[str]:
    """Return the paths of all keys below a section, each with dots."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{path}" for path in _paths(field.annotation))
        else:
            yield name


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
