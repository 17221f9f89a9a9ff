"""Vectors as Pinecone takes them: JSON numbers in the shortest text of a float32, never of a length that overflows its arithmetic.

Pinecone computes in float32. Under COSINE a vector of extreme length is stored divided by a power of two, which loses nothing, and its exponent
beside it; where even that would lose a component, its bytes are kept too. Under DOT and EUCLIDEAN a length means something, so
such a vector is refused.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.records import FloatVector, Metric

EXPONENT = "exponent"
VECTOR = "vector"
LARGEST_COMPONENT = 1e18
"""Squares of larger ones pass the range of float32 when they are added."""
_PLAIN = 2.0**-40, 2.0**40
_DTYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class EncodedVector:
    """The numbers to send, the length of their JSON text in bytes, and the metadata that restores the original."""

    values: list[float]
    size: int
    metadata: dict[str, Any] = field(default_factory=dict)


def encode_vector(vector: FloatVector, metric: Metric) -> EncodedVector:
    """Encode a vector of shape (dimension,).

    Raises:
        InvalidArgumentError: Pinecone cannot hold it under this metric.
    """
    fault = unfit(vector, metric)
    if fault:
        raise InvalidArgumentError(fault)
    largest = float(np.abs(vector).max())
    if metric is not Metric.COSINE or _PLAIN[0] <= largest <= _PLAIN[1]:
        return _numbers(vector, {})
    exponent = math.frexp(largest)[1]
    scaled = np.ldexp(vector, -exponent).astype(np.float32)
    if np.ldexp(scaled, exponent).tobytes() == vector.tobytes():
        return _numbers(scaled, {EXPONENT: exponent})
    exact = base64.b64encode(vector.astype(_DTYPE, copy=False).tobytes()).decode("ascii")
    return _numbers(scaled, {VECTOR: exact})


def unfit(vector: FloatVector, metric: Metric) -> str:
    """Say why Pinecone cannot take a vector, of a record or of a query; "" if it can."""
    largest = float(np.abs(vector).max(initial=0.0))
    if largest == 0.0:
        return "Pinecone takes no vector of nothing but zeros"
    if metric is not Metric.COSINE and largest > LARGEST_COMPONENT:
        return f"Pinecone compares in float32: a component beyond {LARGEST_COMPONENT:g} would overflow"
    return ""


def decode_vector(values: FloatVector, metadata: dict[str, Any]) -> FloatVector:
    """Return the original of what is stored, shape (dimension,)."""
    if VECTOR in metadata:
        return np.frombuffer(base64.b64decode(metadata[VECTOR]), _DTYPE).astype(np.float32)
    return np.ldexp(values, int(metadata[EXPONENT])) if EXPONENT in metadata else values.copy()


def query_numbers(query: FloatVector, metric: Metric) -> list[float]:
    """Return the numbers of a query; under COSINE at a length where float32 is at ease."""
    return encode_vector(query, metric).values


def _numbers(vector: FloatVector, metadata: dict[str, Any]) -> EncodedVector:
    text = orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY)
    return EncodedVector(orjson.loads(text), len(text), metadata)
