"""What an export says: a collection's settings, and its records with the types that their metadata has.

One vocabulary for both files. JSON lines: a line with the settings, a line a record, a line with their number. Parquet: the
settings in the file's metadata, a row a record, its metadata as JSON. The settings hold neither the collection's name nor where
it lives nor when it was made, so that a copy's export is the same.

JSON keeps 1 and 1.0 apart, and a timestamp is an object {"timestamp": RFC 3339}, so that it is no string.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from vecgate.cli.faults import InputFault
from vecgate.cli.row_readers import Row
from vecgate.errors import InvalidArgumentError, VecgateError
from vecgate.records import FlatIndex, HnswIndex, IndexConfig, IvfIndex, MetadataInput, MetadataValue, Metric, Record
from vecgate.results import Collection, ModelRef, StoredRecord
from vecgate.timestamps import Timestamp

VERSION = 1
HEADER = "vecgate_export"
"""Key of the settings: in the first line of JSON lines, and in the metadata of a Parquet file."""
END = "vecgate_end"
"""Key of the last line of JSON lines."""
INDEX_KINDS: Mapping[str, type[IndexConfig]] = {"flat": FlatIndex, "hnsw": HnswIndex, "ivf": IvfIndex}
METRICS_BY_NAME: Mapping[str, Metric] = {metric: metric for metric in get_args(Metric)}
JSON_PARTS = frozenset({"namespace", "id", "text", "vector", "metadata"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a collection is, wherever it lives."""

    metric: Metric
    dimension: int
    model: ModelRef | None
    query_prompt: str
    index: IndexConfig | None

    @classmethod
    def of(cls, collection: Collection) -> Settings:
        """Take the settings of a collection."""
        return cls(collection.metric, collection.dimension, collection.model, collection.query_prompt, collection.index)

    def to_json(self) -> dict[str, Any]:
        """Return the settings in terms of JSON."""
        kind = next((name for name, index in INDEX_KINDS.items() if isinstance(self.index, index)), None)
        return {
            "version": VERSION,
            "metric": self.metric,
            "dimension": self.dimension,
            "model": None if self.model is None else asdict(self.model),
            "query_prompt": self.query_prompt,
            "index": None if self.index is None else {"kind": kind, **asdict(self.index)},
        }

    @classmethod
    def from_json(cls, header: Any, name: str) -> Settings:
        """Read the settings of an export.

        Raises:
            InputFault: they are of a later version, or damaged.
        """
        try:
            if header["version"] > VERSION:
                raise InputFault(
                    f"{name}: an export of version {header['version']}, and this vecgate reads up to {VERSION}",
                    "pip install --upgrade vecgate",
                )
            index = header["index"] and dict(header["index"])
            return cls(
                metric=METRICS_BY_NAME[header["metric"]],
                dimension=int(header["dimension"]),
                model=None if header["model"] is None else ModelRef(**header["model"]),
                query_prompt=str(header["query_prompt"]),
                index=INDEX_KINDS[index.pop("kind")](**index) if index else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputFault(f"{name}: the settings of the export are damaged: {error}") from error


def record_to_json(namespace: str, record: StoredRecord) -> dict[str, Any]:
    """Return a record in terms of JSON; a part that it does not have is left out. float32 is exact in JSON's numbers."""
    parts: dict[str, Any] = {"namespace": namespace, "id": record.id}
    if record.text is not None:
        parts["text"] = record.text
    if record.vector is not None:
        parts["vector"] = record.vector.tolist()
    return parts | {"metadata": metadata_to_json(record.metadata)}


def metadata_to_json(metadata: Mapping[str, MetadataValue]) -> dict[str, Any]:
    """Return metadata in terms of JSON, types kept."""
    return {
        name: {"timestamp": str(value)} if isinstance(value, Timestamp) else value for name, value in metadata.items()
    }


def records_from_row(row: Row) -> list[Record]:
    """Make the record of a row of an export, a list of one.

    Raises:
        InvalidArgumentError: ROW or METADATA_VALUE: the row is not as an export writes it.
    """
    values = row.values
    if unknown := values.keys() - JSON_PARTS:
        raise InvalidArgumentError.at(min(unknown), "is no part of an exported record", reason="ROW")
    vector, metadata = values.get("vector"), values.get("metadata")
    if not isinstance(metadata, dict):
        raise InvalidArgumentError.at("metadata", "missing, or no object", reason="ROW")
    if vector is None:
        raise InvalidArgumentError.at("vector", "missing", reason="ROW")
    record = Record(
        id=values.get("id"),  # type: ignore[arg-type]  # the client checks that it is text
        text=values.get("text"),
        vector=vector,
        metadata={name: _value_from_json(name, value) for name, value in metadata.items()},
    )
    return [record]


def namespace_of_row(row: Row) -> str:
    """Return the namespace of a row of an export."""
    return str(row.values.get("namespace") or "")


def _value_from_json(name: str, value: Any) -> MetadataInput:
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]  # the client checks types
    if value.keys() != {"timestamp"}:
        raise InvalidArgumentError.at(name, f"{value!r} is no metadata value", reason="METADATA_VALUE")
    try:
        return Timestamp.from_rfc3339(value["timestamp"])
    except (VecgateError, TypeError) as error:
        raise InvalidArgumentError.at(name, f"{value!r} is no timestamp", reason="METADATA_VALUE") from error
