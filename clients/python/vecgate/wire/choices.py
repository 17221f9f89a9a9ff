"""The words a caller chooses from ⇄ enum numbers, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from vecgate.errors import InvalidArgumentError
from vecgate.records import Acknowledgement, Metric, Quantization, Role, Truncation, WriteMode
from vecgate.server_info import ModelKind, ModelState
from vecgate.v1 import collection_pb2, encode_pb2, model_pb2, outcome_pb2, write_pb2

Word = TypeVar("Word", bound=str)
Number = TypeVar("Number")

METRICS: Mapping[Metric, collection_pb2.Metric] = {
    "cosine": collection_pb2.METRIC_COSINE,
    "dot": collection_pb2.METRIC_DOT,
    "euclidean": collection_pb2.METRIC_EUCLIDEAN,
}
QUANTIZATIONS: Mapping[Quantization, collection_pb2.Quantization] = {
    "none": collection_pb2.QUANTIZATION_NONE,
    "scalar8": collection_pb2.QUANTIZATION_SCALAR8,
}
ROLES: Mapping[Role, encode_pb2.Role] = {
    "query": encode_pb2.ROLE_QUERY,
    "document": encode_pb2.ROLE_DOCUMENT,
}
WRITE_MODES: Mapping[WriteMode, write_pb2.WriteMode] = {
    "upsert": write_pb2.WRITE_MODE_UPSERT,
    "insert": write_pb2.WRITE_MODE_INSERT,
    "update": write_pb2.WRITE_MODE_UPDATE,
}
ACKNOWLEDGEMENTS: Mapping[Acknowledgement, write_pb2.Acknowledgement] = {
    "durable": write_pb2.ACKNOWLEDGEMENT_DURABLE,
    "searchable": write_pb2.ACKNOWLEDGEMENT_SEARCHABLE,
}
TRUNCATIONS: Mapping[Truncation, outcome_pb2.TruncationPolicy] = {
    "error": outcome_pb2.TRUNCATION_POLICY_ERROR,
    "truncate": outcome_pb2.TRUNCATION_POLICY_TRUNCATE,
}
MODEL_STATES: Mapping[model_pb2.ModelState, ModelState] = {
    model_pb2.MODEL_STATE_AVAILABLE: ModelState.AVAILABLE,
    model_pb2.MODEL_STATE_LOADING: ModelState.LOADING,
    model_pb2.MODEL_STATE_READY: ModelState.READY,
    model_pb2.MODEL_STATE_FAILED: ModelState.FAILED,
}
MODEL_KINDS: Mapping[model_pb2.ModelKind, ModelKind] = {
    model_pb2.MODEL_KIND_ENCODER: ModelKind.ENCODER,
    model_pb2.MODEL_KIND_CROSS_ENCODER: ModelKind.CROSS_ENCODER,
}
METRIC_WORDS: Mapping[collection_pb2.Metric, Metric] = {number: word for word, number in METRICS.items()}
QUANTIZATION_WORDS: Mapping[collection_pb2.Quantization, Quantization] = {
    collection_pb2.QUANTIZATION_UNSPECIFIED: "none",
    **{number: word for word, number in QUANTIZATIONS.items()},
}


def choose(table: Mapping[Word, Number], word: Word, argument: str) -> Number:
    """Look a word up.

    Raises:
        InvalidArgumentError: it is not in the table; the message lists what is.
    """
    if word not in table:
        allowed = ", ".join(repr(known) for known in table)
        raise InvalidArgumentError.at(argument, f"{word!r} is not one of {allowed}")
    return table[word]
