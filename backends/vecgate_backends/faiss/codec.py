"""How metadata, collection settings and vectors are written into SQLite.

Metadata is JSON, because JSON already tells strings, integers of any size, doubles and booleans apart, and anyone can read it. A list of
strings is an array; a timestamp is an object {"seconds": int, "nanos": int}. Vectors are little-endian float32, as they came.
The checksums beside them in a collection's file are those of row_checksum, over exactly these bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from vecgate_backends.records import (
    CollectionSpec,
    FlatIndex,
    FloatVector,
    HnswIndex,
    IndexConfig,
    IvfIndex,
    Metadata,
    MetadataValue,
    Metric,
    ModelBinding,
    Quantization,
    Timestamp,
    index_numbers,
)

INDEX_KINDS: Mapping[str, Callable[..., IndexConfig]] = MappingProxyType(
    {
        "flat": FlatIndex,
        "hnsw": HnswIndex,
        "hnsw-scalar8": partial(HnswIndex, quantization=Quantization.SCALAR8),
        "ivf": IvfIndex,
    }
)
"""Name of an index kind in files → what makes its settings of its numbers."""
VECTOR_DTYPE = np.dtype("<f4")


def encode_metadata(metadata: Metadata) -> str:
    """Return the JSON text of a record's metadata."""
    return _dumps({field: _PACK.get(type(value), _same)(value) for field, value in metadata.items()})


def decode_metadata_of(texts: Iterable[bytes]) -> list[dict[str, MetadataValue]]:
    """Return what encode_metadata was given for each of these texts in UTF-8, each value with its type."""
    # As one text, which takes half the time; and the few values that need it are unpacked in place.
    stored: list[dict[str, Any]] = _decode(f"[{b','.join(texts).decode()}]")
    for metadata in stored:
        for field, value in metadata.items():
            unpack = _UNPACK.get(type(value))
            if unpack is not None:
                metadata[field] = unpack(value)
    return stored


def encode_values(values: Sequence[MetadataValue]) -> bytes:
    """Return a JSON array of metadata values, in UTF-8."""
    return _dumps([_PACK.get(type(value), _same)(value) for value in values]).encode()


def decode_values(stored: bytes) -> list[Any]:
    """Return what encode_values was given."""
    return [_UNPACK.get(type(value), _same)(value) for value in _decode(stored.decode())]


def encode_spec(spec: CollectionSpec) -> str:
    """Return the JSON text of a collection's settings."""
    return _dumps(asdict(spec) | {"index": None if spec.index is None else encode_index(spec.index)})


def decode_spec(text: str) -> CollectionSpec:
    """Return what encode_spec was given."""
    stored = json.loads(text)
    return CollectionSpec(
        name=stored["name"],
        dimension=stored["dimension"],
        metric=Metric(stored["metric"]),
        model=None if stored["model"] is None else ModelBinding(**stored["model"]),
        index=None if stored["index"] is None else decode_index(stored["index"]),
        created=Timestamp(**stored["created"]),
    )


def encode_index(index: IndexConfig) -> dict[str, Any]:
    """Return index settings as a JSON object with the name of their kind."""
    return {"kind": index.kind} | index_numbers(index)


def decode_index(stored: Mapping[str, Any]) -> IndexConfig:
    """Return what encode_index was given."""
    return INDEX_KINDS[stored["kind"]](**{name: value for name, value in stored.items() if name != "kind"})


def encode_vector(vector: FloatVector) -> bytes:
    """Return the bytes of a vector of shape (dimension,)."""
    return vector.astype(VECTOR_DTYPE, copy=False).tobytes()


def decode_vector(stored: bytes) -> FloatVector:
    """Return the vector of shape (dimension,), a copy that the caller owns."""
    return np.frombuffer(stored, VECTOR_DTYPE).astype(np.float32)


_decode = json.JSONDecoder().decode
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _same(value: Any) -> Any:
    return value


_PACK: Mapping[type, Callable[[Any], Any]] = MappingProxyType({Timestamp: asdict})
_UNPACK: Mapping[type, Callable[[Any], Any]] = MappingProxyType({list: tuple, dict: lambda stored: Timestamp(**stored)})
