"""What a vector index accepts: ids, values, metadata, and how they are stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from emulators.pinecone.refusal import only, require

MOST_METADATA_BYTES = 40 * 1024
LONGEST_NAME = 512


@dataclass(frozen=True)
class StoredVector:
    """A record as the index holds it; its JSON text is made once, since a scan sends it again and again."""

    id: str
    values: NDArray[np.float32]
    metadata: dict[str, Any]

    @cached_property
    def size(self) -> int:
        """Bytes of the whole record as JSON."""
        return len(orjson.dumps(self.json()))

    @cached_property
    def _values_text(self) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(self.values, option=orjson.OPT_SERIALIZE_NUMPY))

    @cached_property
    def _metadata_text(self) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(self.metadata))

    def json(self, *, values: bool = True, metadata: bool = True) -> dict[str, Any]:
        out: dict[str, Any] = {"id": self.id, "values": self._values_text if values else []}
        if metadata:
            out["metadata"] = self._metadata_text
        return out


def checked_vector(item: Any, dimension: int) -> StoredVector:
    require(isinstance(item, dict), "a vector must be an object")
    only(item, {"id", "values", "metadata", "sparseValues"})
    require("sparseValues" not in item, "Index configuration does not support sparse values")
    return StoredVector(
        checked_id(item.get("id")),
        checked_values(item.get("values"), dimension),
        checked_metadata(item.get("metadata", {})),
    )


def checked_id(name: Any) -> str:
    require(isinstance(name, str) and 1 <= len(name) <= LONGEST_NAME, "Vector ID must be 1 to 512 characters")
    require(name.isascii() and "\0" not in name, "Vector ID must be ASCII")
    return str(name)


def checked_namespace(name: Any) -> str:
    require(isinstance(name, str) and len(name) <= LONGEST_NAME, "Namespace must be at most 512 characters")
    require(name.isascii() and "\0" not in name, "Namespace must be ASCII")
    return str(name) or "__default__"


def checked_values(values: Any, dimension: int) -> NDArray[np.float32]:
    require(isinstance(values, list), "Dense vectors must have values")
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    require(numeric, "Vector values must be numbers")
    require(
        len(values) == dimension,
        f"Vector dimension {len(values)} does not match the dimension of the index {dimension}",
    )
    with np.errstate(over="ignore"):
        stored = np.asarray(values, np.float64).astype(np.float32)
    require(bool(np.isfinite(stored).all()), "Vector values must be finite")
    require(bool(stored.any()), "Dense vectors must contain at least one non-zero value")
    return stored


def checked_metadata(metadata: Any) -> dict[str, Any]:
    require(isinstance(metadata, dict), "Metadata must be an object")
    kept = {key: _checked_value(key, value) for key, value in metadata.items() if value is not None}
    size = len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode())
    require(
        size <= MOST_METADATA_BYTES,
        f"Metadata size is {size} bytes, which exceeds the limit of {MOST_METADATA_BYTES} bytes per vector",
    )
    return kept


def _checked_value(key: str, value: Any) -> Any:
    require(not key.startswith("$"), f"Metadata field '{key}' cannot start with '$'")
    if isinstance(value, list):
        require(all(isinstance(each, str) for each in value), f"Metadata value of '{key}' must be a list of strings")
        return value
    require(isinstance(value, str | bool | int | float), f"Metadata value of '{key}' has a type that is not supported")
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
