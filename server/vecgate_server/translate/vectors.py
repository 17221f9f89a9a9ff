"""Vectors and scores to the wire. Pure."""

from __future__ import annotations

import numpy as np

from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate_backends.records import FloatVector


def floats_to_bytes(values: FloatVector) -> bytes:
    """Pack as little-endian float32."""
    return values.astype("<f4", copy=False).tobytes()


def vector_to_wire(vector: FloatVector, *, as_floats: bool) -> Vector:
    """Write a vector, shape (dimension,), packed or spelled out."""
    if as_floats:
        return Vector(floats=FloatList(values=np.asarray(vector).tolist()))
    return Vector(packed=floats_to_bytes(vector))
