"""What can be configured of a Qdrant backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import SecretStr, TypeAdapter, ValidationError
from qdrant_client import models

from vecgate_backends.errors import ConfigurationError

IN_MEMORY = ":memory:"
FieldKind: TypeAlias = Literal["string", "number", "boolean", "timestamp"]


@dataclass(frozen=True, slots=True)
class QdrantOptions:
    """Options of the Qdrant backend.

    Attributes:
        url: address of the server with scheme, such as https://qdrant.example:6333; stands in the place of host, port and https.
        host: name or address of the server. port: its REST port, which is not used. grpc_port: its gRPC port, which is.
        https: speak TLS.
        api_key: the key; never printed or logged.
        path: instead of a server, the client's own engine: a directory that it keeps its files in, or ":memory:". For trials.
        prefix: begins the name of every Qdrant collection that is vecgate's.
        timeout_seconds: the longest that a read may take, retries included. write_timeout_seconds: likewise a write.
        attempts: how often a call is tried that failed in a way that may pass, at least 1.
        connections: gRPC connections, at least 1.
        batch_size: the most points of one write to Qdrant, at least 1.
        indexed_fields: metadata fields → the kind of value that they are indexed for in every new collection.
        index_used_fields: make the payload index that a filter would use when it is first used.
        hnsw, optimizers, quantization: passed to Qdrant for new collections: the keys of its `hnsw_config`, `optimizers_config` and
            `quantization_config`.
        shard_number, replication_factor, write_consistency_factor, on_disk_payload: likewise; None leaves them to the server, and
            write_consistency_factor to replication_factor.
        vectors_on_disk: keep the original vectors on disk.
    """

    url: str = ""
    host: str = "localhost"
    port: int = 6333
    grpc_port: int = 6334
    https: bool = False
    api_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    path: str = ""
    prefix: str = "vecgate-"
    timeout_seconds: float = 10.0
    write_timeout_seconds: float = 60.0
    attempts: int = 4
    connections: int = 3
    batch_size: int = 128
    indexed_fields: Mapping[str, FieldKind] = field(default_factory=dict)
    index_used_fields: bool = True
    hnsw: Mapping[str, Any] = field(default_factory=dict)
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    quantization: Mapping[str, Any] = field(default_factory=dict)
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    on_disk_payload: bool | None = None
    vectors_on_disk: bool | None = None

    @property
    def local(self) -> bool:
        """Whether the client's own engine is used instead of a server."""
        return bool(self.path)

    @property
    def in_memory(self) -> bool:
        """Whether nothing outlives the process."""
        return self.path == IN_MEMORY

    @property
    def place(self) -> str:
        """Where the data is, for messages."""
        if self.local:
            return self.path
        return self.url or f"{self.host}:{self.grpc_port}"

    @property
    def replicas_acknowledge(self) -> bool:
        """Whether every replica has applied a write when it returns, so that any of them may answer the reads after it."""
        return self.write_consistency_factor is None or self.write_consistency_factor >= (self.replication_factor or 1)

    def storage_directory(self) -> str:
        """Return the path in the form that the client takes."""
        return self.path if self.in_memory else str(Path(self.path))


def hnsw_config(options: QdrantOptions) -> models.HnswConfigDiff | None:
    """Return the configured graph settings."""
    config: models.HnswConfigDiff | None = _checked(models.HnswConfigDiff, options.hnsw, "hnsw")
    return config


def optimizers_config(options: QdrantOptions) -> models.OptimizersConfigDiff | None:
    """Return the configured settings of Qdrant's background work."""
    config: models.OptimizersConfigDiff | None = _checked(models.OptimizersConfigDiff, options.optimizers, "optimizers")
    return config


def quantization_config(options: QdrantOptions) -> Any:
    """Return the configured quantization, an instance of one of Qdrant's four kinds."""
    return _checked(models.QuantizationConfig, options.quantization, "quantization")


def check_options(options: QdrantOptions) -> None:
    """Refuse what can be seen to be wrong before anything is opened.

    Raises:
        ConfigurationError: a value is out of range, or Qdrant knows no such setting; the message names it.
    """
    for name in ("attempts", "connections", "batch_size"):
        if getattr(options, name) < 1:
            raise ConfigurationError(f"{name}: must be at least 1, not {getattr(options, name)}")
    for name in ("timeout_seconds", "write_timeout_seconds"):
        if not getattr(options, name) > 0:
            raise ConfigurationError(f"{name}: must be more than 0, not {getattr(options, name)}")
    if options.url and "://" not in options.url:
        raise ConfigurationError(f"url: begins with http:// or https://, unlike {options.url!r}")
    if not options.prefix:
        raise ConfigurationError("prefix: must not be empty, since other collections of the server are not vecgate's")
    hnsw_config(options)
    optimizers_config(options)
    quantization_config(options)


def _checked(kind: Any, settings: Mapping[str, Any], name: str) -> Any:
    if not settings:
        return None
    try:
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False)[0]
        where = ".".join([name, *(str(step) for step in fault["loc"])])
        raise ConfigurationError(f"{where}: {fault['msg']}") from None
