"""What a server says of itself, from messages."""

from __future__ import annotations

from dataclasses import fields

from grpc_health.v1 import health_pb2

from vecgate.server_info import (
    BackendInfo,
    Capabilities,
    Limits,
    ModelInfo,
    ModelKind,
    ModelState,
    ServerInfo,
    ServingStatus,
)
from vecgate.v1 import model_pb2, server_info_pb2
from vecgate.wire.choices import METRIC_WORDS, MODEL_KINDS, MODEL_STATES

SERVING_STATUSES = {
    health_pb2.HealthCheckResponse.SERVING: ServingStatus.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING: ServingStatus.NOT_SERVING,
}
BOUNDS = tuple(bound.name for bound in fields(Limits))


def model_info_from(message: model_pb2.ModelInfo) -> ModelInfo:
    """Translate a model's description."""
    return ModelInfo(
        name=message.name,
        is_default=message.is_default,
        state=MODEL_STATES.get(message.state, ModelState.UNKNOWN),
        fingerprint=message.fingerprint,
        dimension=message.dimension,
        max_tokens=message.max_tokens,
        query_prompt=message.query_prompt,
        document_prompt=message.document_prompt,
        normalized=message.normalized,
        runtime=message.runtime,
        detail=message.detail,
        kind=MODEL_KINDS.get(message.kind, ModelKind.UNKNOWN),
        precision=message.precision,
        matryoshka_dimensions=tuple(message.matryoshka_dimensions),
        memory_bytes=message.memory_bytes,
    )


def server_info_from(response: server_info_pb2.GetServerInfoResponse) -> ServerInfo:
    """Translate a server's description."""
    return ServerInfo(
        version=response.version,
        default_model=response.default_model,
        default_backend=response.default_backend,
        backends=tuple(_backend_from(backend) for backend in response.backends),
        limits=Limits(**{bound: getattr(response.limits, bound) for bound in BOUNDS}),
    )


def serving_status_from(response: health_pb2.HealthCheckResponse) -> ServingStatus:
    """Translate the answer of grpc.health.v1."""
    return SERVING_STATUSES.get(response.status, ServingStatus.UNKNOWN)


def _backend_from(message: server_info_pb2.BackendInfo) -> BackendInfo:
    can = message.capabilities
    return BackendInfo(
        name=message.name,
        kind=message.kind,
        healthy=message.healthy,
        detail=message.detail,
        capabilities=Capabilities(
            metrics=tuple(METRIC_WORDS[metric] for metric in can.metrics if metric in METRIC_WORDS),
            max_dimension=can.max_dimension,
            index_kinds=tuple(can.index_kinds),
            durable=can.durable,
            searchable_on_write=can.searchable_on_write,
            exact_search=can.exact_search,
            consistency_tokens=can.consistency_tokens,
            filtered_writes=can.filtered_writes,
            field_stats=can.field_stats,
            encoding_stamps=can.encoding_stamps,
            index_updates=can.index_updates,
        ),
    )
