"""What answers say about themselves: timings, models, encoded texts, collections. Pure."""

from __future__ import annotations

from vecgate.v1 import collection_pb2
from vecgate.v1.model_pb2 import ModelInfo, ModelRef
from vecgate.v1.outcome_pb2 import EncodedText, Timings
from vecgate_backends.records import CollectionSpec, FlatIndex, HnswIndex, IndexConfig, IvfIndex
from vecgate_server.call_clock import CallClock
from vecgate_server.encoders.base import Encoding, ModelDescription, ModelKind, ModelStatus, PairScores
from vecgate_server.translate.enums import (
    METRICS_TO_WIRE,
    MODEL_KINDS_TO_WIRE,
    MODEL_STATES_TO_WIRE,
    QUANTIZATIONS_TO_WIRE,
)
from vecgate_server.translate.metadata import timestamp_to_wire


def timings_to_wire(clock: CallClock) -> Timings:
    """Write where the time went so far."""
    return Timings(
        queue_ns=clock.encoding.queue_ns + clock.reranking.queue_ns,
        tokenize_ns=clock.encoding.tokenize_ns + clock.reranking.tokenize_ns,
        encode_ns=clock.encoding.encode_ns,
        backend_ns=clock.backend_ns,
        rerank_ns=clock.reranking.encode_ns,
        total_ns=clock.total_ns,
    )


def encoded_text_to_wire(encoding: Encoding, row: int) -> EncodedText:
    """Write how text `row` of a call was read."""
    return EncodedText(
        tokens=int(encoding.tokens[row]), truncated=bool(encoding.truncated[row]), reused=bool(encoding.reused[row])
    )


def model_ref_to_wire(model: ModelDescription) -> ModelRef:
    """Name a loaded model."""
    return ModelRef(name=model.name, fingerprint=model.fingerprint)


def model_info_to_wire(status: ModelStatus) -> ModelInfo:
    """Describe a configured model, in full once it was loaded."""
    info = ModelInfo(
        name=status.name,
        is_default=status.is_default,
        state=MODEL_STATES_TO_WIRE[status.state],
        detail=status.detail,
        memory_bytes=status.memory_bytes,
    )
    if status.description is not None:
        loaded = status.description
        info.fingerprint = loaded.fingerprint
        info.kind = MODEL_KINDS_TO_WIRE[loaded.kind]
        if loaded.kind is ModelKind.ENCODER:
            info.dimension = loaded.dimension
        info.precision = loaded.precision
        info.matryoshka_dimensions.extend(loaded.matryoshka_dimensions)
        info.max_tokens = loaded.max_tokens
        info.query_prompt = loaded.query_prompt
        info.document_prompt = loaded.document_prompt
        info.normalized = loaded.normalized
        info.runtime = loaded.runtime
        info.detail = status.detail or "; ".join(filter(None, (loaded.source, loaded.runtime_reason)))
    return info


def encoded_pairs_to_wire(scored: PairScores) -> list[EncodedText]:
    """Write how the pairs of a rerank call were read."""
    return [
        EncodedText(tokens=tokens, truncated=truncated)
        for tokens, truncated in zip(scored.tokens.tolist(), scored.truncated.tolist(), strict=True)
    ]


def index_to_wire(index: IndexConfig | None) -> collection_pb2.IndexConfig | None:
    """Write the index as it was asked for; None if the backend chooses."""
    match index:
        case None:
            return None
        case FlatIndex():
            return collection_pb2.IndexConfig(flat=collection_pb2.FlatIndex())
        case HnswIndex(m, ef_construction, ef, quantization):
            graph = collection_pb2.HnswIndex(
                m=m, ef_construction=ef_construction, ef=ef, quantization=QUANTIZATIONS_TO_WIRE[quantization]
            )
            return collection_pb2.IndexConfig(hnsw=graph)
        case IvfIndex(lists, nprobe):
            return collection_pb2.IndexConfig(ivf=collection_pb2.IvfIndex(lists=lists, nprobe=nprobe))


def collection_to_wire(spec: CollectionSpec, backend: str) -> collection_pb2.Collection:
    """Write the settings of a collection."""
    message = collection_pb2.Collection(
        name=spec.name,
        backend=backend,
        metric=METRICS_TO_WIRE[spec.metric],
        dimension=spec.dimension,
        index=index_to_wire(spec.index),
        create_time=timestamp_to_wire(spec.created),
    )
    if spec.model is not None:
        message.model.name = spec.model.name
        message.model.fingerprint = spec.model.fingerprint
        message.query_prompt = spec.model.query_prompt
    return message
