"""Enums of the wire as tables: number → what it means here. Numbers that are not listed are refused by validate.choice."""

from __future__ import annotations

from collections.abc import Mapping

from vecgate.v1 import collection_pb2, encode_pb2, model_pb2, outcome_pb2, search_pb2, vector_pb2, write_pb2
from vecgate_backends.records import Acknowledgement, Metric, Quantization, WriteMode
from vecgate_server.encoders.base import LongText, ModelKind, ModelState, Role

METRICS: Mapping[int, Metric] = {
    collection_pb2.METRIC_UNSPECIFIED: Metric.COSINE,
    collection_pb2.METRIC_COSINE: Metric.COSINE,
    collection_pb2.METRIC_DOT: Metric.DOT,
    collection_pb2.METRIC_EUCLIDEAN: Metric.EUCLIDEAN,
}
METRICS_TO_WIRE: Mapping[Metric, collection_pb2.Metric] = {
    Metric.COSINE: collection_pb2.METRIC_COSINE,
    Metric.DOT: collection_pb2.METRIC_DOT,
    Metric.EUCLIDEAN: collection_pb2.METRIC_EUCLIDEAN,
}
QUANTIZATIONS: Mapping[int, Quantization] = {
    collection_pb2.QUANTIZATION_UNSPECIFIED: Quantization.NONE,
    collection_pb2.QUANTIZATION_NONE: Quantization.NONE,
    collection_pb2.QUANTIZATION_SCALAR8: Quantization.SCALAR8,
}
QUANTIZATIONS_TO_WIRE: Mapping[Quantization, collection_pb2.Quantization] = {
    Quantization.NONE: collection_pb2.QUANTIZATION_NONE,
    Quantization.SCALAR8: collection_pb2.QUANTIZATION_SCALAR8,
}
WRITE_MODES: Mapping[int, WriteMode] = {
    write_pb2.WRITE_MODE_UNSPECIFIED: WriteMode.UPSERT,
    write_pb2.WRITE_MODE_UPSERT: WriteMode.UPSERT,
    write_pb2.WRITE_MODE_INSERT: WriteMode.INSERT,
    write_pb2.WRITE_MODE_UPDATE: WriteMode.UPDATE,
}
ACKNOWLEDGEMENTS: Mapping[int, Acknowledgement] = {
    write_pb2.ACKNOWLEDGEMENT_UNSPECIFIED: Acknowledgement.SEARCHABLE,
    write_pb2.ACKNOWLEDGEMENT_DURABLE: Acknowledgement.DURABLE,
    write_pb2.ACKNOWLEDGEMENT_SEARCHABLE: Acknowledgement.SEARCHABLE,
}
# Without UNSPECIFIED: a query encoded as a document is a silent loss of quality.
ROLES: Mapping[int, Role] = {
    encode_pb2.ROLE_QUERY: Role.QUERY,
    encode_pb2.ROLE_DOCUMENT: Role.DOCUMENT,
}
TRUNCATION_ON_READ: Mapping[int, LongText] = {
    outcome_pb2.TRUNCATION_POLICY_UNSPECIFIED: LongText.TRUNCATE,
    outcome_pb2.TRUNCATION_POLICY_ERROR: LongText.REFUSE,
    outcome_pb2.TRUNCATION_POLICY_TRUNCATE: LongText.TRUNCATE,
}
TRUNCATION_ON_WRITE: Mapping[int, LongText] = {
    **TRUNCATION_ON_READ,
    outcome_pb2.TRUNCATION_POLICY_UNSPECIFIED: LongText.REFUSE,
}
VECTORS_AS_FLOATS: Mapping[int, bool] = {
    vector_pb2.VECTOR_ENCODING_UNSPECIFIED: False,
    vector_pb2.VECTOR_ENCODING_PACKED: False,
    vector_pb2.VECTOR_ENCODING_FLOATS: True,
}
MATCHES_AS_COLUMNS: Mapping[int, bool] = {
    search_pb2.MATCH_LAYOUT_UNSPECIFIED: False,
    search_pb2.MATCH_LAYOUT_ROWS: False,
    search_pb2.MATCH_LAYOUT_COLUMNS: True,
}
MODEL_STATES_TO_WIRE: Mapping[ModelState, model_pb2.ModelState] = {
    ModelState.AVAILABLE: model_pb2.MODEL_STATE_AVAILABLE,
    ModelState.LOADING: model_pb2.MODEL_STATE_LOADING,
    ModelState.READY: model_pb2.MODEL_STATE_READY,
    ModelState.FAILED: model_pb2.MODEL_STATE_FAILED,
}
MODEL_KINDS_TO_WIRE: Mapping[ModelKind, model_pb2.ModelKind] = {
    ModelKind.ENCODER: model_pb2.MODEL_KIND_ENCODER,
    ModelKind.CROSS_ENCODER: model_pb2.MODEL_KIND_CROSS_ENCODER,
}
