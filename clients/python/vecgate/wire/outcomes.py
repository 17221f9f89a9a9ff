"""Parts that many answers share: timings, models, texts read, errors of single items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import grpc

from vecgate.errors import ERROR_CLASSES, FieldViolation, UnknownError, VecgateError
from vecgate.results import EncodedText, ModelRef, Timings
from vecgate.v1 import model_pb2, outcome_pb2

STAGES = tuple(stage.name for stage in fields(Timings))
CODES = {code.value[0]: code for code in grpc.StatusCode}
"""The number of a status code → the code."""


def timings_from(message: outcome_pb2.Timings) -> Timings:
    """Translate the timings of one request."""
    return Timings(**{stage: getattr(message, stage) for stage in STAGES})


def timings_sum(parts: Iterable[Timings]) -> Timings:
    """Add up the timings of several requests."""
    columns = list(parts)
    return Timings(**{stage: sum(getattr(part, stage) for part in columns) for stage in STAGES})


def model_ref_from(message: model_pb2.ModelRef) -> ModelRef:
    """Translate a reference to a model."""
    return ModelRef(message.name, message.fingerprint)


def encoded_from(message: outcome_pb2.EncodedText) -> EncodedText:
    """Translate how a text was read."""
    return EncodedText(message.tokens, message.truncated, message.reused)


def error_from_item(message: outcome_pb2.ItemError, *, sent_at: str, known_at: str) -> VecgateError:
    """Build the error of one item of a batch, of the class it would have had in a call of its own.

    Args:
        message: the item's error.
        sent_at: path of the item in its request, such as records[3].
        known_at: path of the item among all that the caller handed in, which takes the place of `sent_at`.
    """
    code = CODES.get(message.code, grpc.StatusCode.UNKNOWN)
    return ERROR_CLASSES.get(code, UnknownError)(
        message.message.replace(sent_at, known_at),
        reason=message.reason,
        violations=[
            FieldViolation(wrong.field.replace(sent_at, known_at, 1), wrong.description)
            for wrong in message.field_violations
        ],
    )
