"""Vectors from the wire: read and checked in bulk, one NumPy pass a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vecgate.v1.vector_pb2 import Vector
from vecgate_backends.errors import DimensionMismatchError, InvalidArgumentError
from vecgate_backends.records import FloatMatrix, Metric
from vecgate_server.errors import LimitExceededError, NotFiniteError, ZeroVectorError

WIRE_FLOAT = np.dtype("<f4")
MAX_LENGTH = float(np.sqrt(np.finfo(np.float32).max)) / 2
"""Longest vector under DOT and EUCLIDEAN: with two vectors of at most this length neither the inner product nor the squared
distance, which is at most four times the larger squared length, overflows the float32 of a score."""

_LARGEST_SQUARE = 0.99 * MAX_LENGTH**2
"""Of a length, as a sum in float32, up to which a vector needs no closer look: with a hundredth of slack, since that sum is not exact."""
_LEAST_SQUARE: Mapping[Metric, float] = MappingProxyType(
    {Metric.COSINE: float(np.finfo(np.float32).tiny), Metric.DOT: 0.0, Metric.EUCLIDEAN: 0.0}
)
"""The same from which on: only under COSINE zeros are a fault. Not the least number there is, which some processor settings take for 0."""


def read_vectors(
    vectors: Sequence[Vector], paths: Sequence[str], *, dimension: int, metric: Metric
) -> tuple[FloatMatrix, list[InvalidArgumentError | None]]:
    """Read vectors into a float32 matrix, shape (len(vectors), dimension), with None or the fault of each row.

    Rows with a fault hold zeros or what was sent; they are not to be used.
    """
    faults: list[InvalidArgumentError | None] = [None] * len(vectors)
    blank = bytes(WIRE_FLOAT.itemsize * dimension)
    packed: list[bytes] = []
    for row, vector in enumerate(vectors):
        try:
            packed.append(_packed(vector, paths[row], dimension))
        except InvalidArgumentError as fault:
            faults[row] = fault
            packed.append(blank)
    matrix = np.frombuffer(b"".join(packed), WIRE_FLOAT).reshape(len(vectors), dimension).astype(np.float32, copy=False)
    for row in np.flatnonzero(_suspicious(matrix, metric)).tolist():
        if faults[row] is None:
            faults[row] = _fault(matrix[row], paths[row], metric)
    return matrix, faults


def read_vector(vector: Vector, path: str, *, dimension: int, metric: Metric) -> FloatMatrix:
    """Read one vector, shape (1, dimension).

    Raises:
        DimensionMismatchError, NotFiniteError, ZeroVectorError, LimitExceededError: with the path.
    """
    row = np.frombuffer(_packed(vector, path, dimension), WIRE_FLOAT).astype(np.float32, copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        square = np.dot(row, row)
    if not _ordinary(square, metric) and (fault := _fault(row, path, metric)):
        raise fault
    return row.reshape(1, dimension)


def encoded_faults(vectors: FloatMatrix, paths: Sequence[str], metric: Metric) -> dict[int, InvalidArgumentError]:
    """Return the faults of vectors, shape (n, dimension), that a model made of the texts at these paths, by row.

    A model may give zeros for a text of which it knows no token. Rows of NaN, which stand for texts left out, have no fault.
    """
    if metric is not Metric.COSINE:
        return {}
    return {
        row: ZeroVectorError.at(paths[row], "is encoded as zeros, which have no direction under COSINE")
        for row in np.flatnonzero(~vectors.any(axis=1)).tolist()
    }


def _packed(vector: Vector, path: str, dimension: int) -> bytes:
    match vector.WhichOneof("encoding"):
        case "packed":
            return _whole(vector.packed, path, dimension)
        case "floats":
            _check_length(len(vector.floats.values), path, dimension)
            return np.array(vector.floats.values, WIRE_FLOAT).tobytes()
        case _:
            raise InvalidArgumentError.at(path, "set either packed or floats")


def _whole(packed: bytes, path: str, dimension: int) -> bytes:
    if len(packed) % WIRE_FLOAT.itemsize:
        raise DimensionMismatchError.at(
            f"{path}.packed", f"has {len(packed)} bytes, which is no multiple of {WIRE_FLOAT.itemsize}"
        )
    _check_length(len(packed) // WIRE_FLOAT.itemsize, path, dimension)
    return packed


def _check_length(components: int, path: str, dimension: int) -> None:
    if components != dimension:
        raise DimensionMismatchError.at(path, f"has {components} components; the collection's dimension is {dimension}")


def _suspicious(matrix: FloatMatrix, metric: Metric) -> NDArray[np.bool_]:
    """Mark the rows that need a closer look, shape (rows,).

    A float32 sum of squares overflows long before the vector is unusable and vanishes long before it is zero, so it only
    points out rows; _fault decides in float64.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", matrix, matrix)
    return ~_ordinary(squares, metric)


def _ordinary(squares: NDArray[np.float32], metric: Metric) -> NDArray[np.bool_]:
    """Tell whether vectors of these squared lengths need no closer look, in the shape of `squares`."""
    return np.asarray((squares >= _LEAST_SQUARE[metric]) & (squares <= _LARGEST_SQUARE))


def _fault(row: NDArray[np.float32], path: str, metric: Metric) -> InvalidArgumentError | None:
    if not np.isfinite(row).all():
        position = int(np.flatnonzero(~np.isfinite(row))[0])
        return NotFiniteError.at(path, f"component {position} is {row[position]}; every component must be finite")
    if metric is Metric.COSINE:
        return None if row.any() else ZeroVectorError.at(path, "is all zeros, which has no direction under COSINE")
    length = float(np.linalg.norm(row.astype(np.float64)))
    if length > MAX_LENGTH:
        return LimitExceededError.at(
            path, f"has the length {length:.3g}; above {MAX_LENGTH:.3g} scores overflow float32"
        )
    return None
