"""A collection's settings in the metadata of its Qdrant collection, and what Qdrant is asked to make of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qdrant_client import models

from vecgate_backends.errors import IndexUnsupportedError, StorageCorruptError
from vecgate_backends.qdrant.options import QdrantOptions, hnsw_config, optimizers_config, quantization_config
from vecgate_backends.qdrant.vectors import DISTANCES
from vecgate_backends.records import (
    CollectionSpec,
    FlatIndex,
    HnswIndex,
    IndexConfig,
    Metric,
    ModelBinding,
    Quantization,
    Timestamp,
    index_numbers,
)

METADATA_KEY = "vecgate"
INDEX_KEY = "vecgate-index"
"""The index once it was changed: beside the other settings, so that a change can touch nothing else."""
FORMAT = 1
INDEX_KINDS: Mapping[str, type[IndexConfig]] = {"flat": FlatIndex, "hnsw": HnswIndex}

_POINT_IDS = uuid.UUID("6f0a4f4e-6f5c-5b0e-9d1b-3c6a2e1d7f42")
"""Of all point ids; another value would orphan every stored record."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a collection from an earlier one of its name: 12 hexadecimal digits."""

    digits: str

    @property
    def vector(self) -> str:
        """The name of the vector of its points."""
        return f"vecgate-{self.digits}"

    def namespace(self, name: str) -> str:
        """Return what the points of a namespace hold under payload.NAMESPACE."""
        return f"{self.digits}:{name}"

    def point_id(self, namespace: str, record_id: str) -> str:
        """Return the id of the point that holds a record."""
        # No namespace holds a control character, so no two pairs read alike.
        return str(uuid.uuid5(_POINT_IDS, f"{self.digits}\n{namespace}\n{record_id}"))


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """A collection as Qdrant describes it; `indexed` are the paths of the payload indexes it has."""

    identity: Identity
    spec: CollectionSpec
    indexed: frozenset[str] = frozenset()


def new_identity() -> Identity:
    """Return an identity that no collection has."""
    return Identity(uuid.uuid4().hex[:12])


def metadata_of(identity: Identity, spec: CollectionSpec) -> dict[str, Any]:
    """Return the metadata of the Qdrant collection."""
    settings: dict[str, Any] = {
        "format": FORMAT,
        "identity": identity.digits,
        "name": spec.name,
        "dimension": spec.dimension,
        "metric": str(spec.metric),
        "created": [spec.created.seconds, spec.created.nanos],
    }
    if spec.model is not None:
        settings["model"] = asdict(spec.model)
    if spec.index is not None:
        settings["index"] = _index_settings(spec.index)
    return {METADATA_KEY: settings}


def stored_collection(info: models.CollectionInfo) -> StoredCollection | None:
    """Read what metadata_of wrote; None for a collection that is not vecgate's.

    Raises:
        StorageCorruptError: it is vecgate's, of another format or damaged.
    """
    metadata = info.config.metadata or {}
    settings = metadata.get(METADATA_KEY)
    if settings is None:
        return None
    try:
        if settings["format"] != FORMAT:
            raise StorageCorruptError(
                f"the collection's settings in Qdrant are of format {settings['format']}; this version reads {FORMAT}"
            )
        index = metadata.get(INDEX_KEY, settings.get("index"))
        spec = CollectionSpec(
            name=settings["name"],
            dimension=int(settings["dimension"]),
            metric=Metric(settings["metric"]),
            model=ModelBinding(**settings["model"]) if "model" in settings else None,
            index=None if index is None else _index(index),
            created=Timestamp(*map(int, settings["created"])),
        )
        return StoredCollection(Identity(settings["identity"]), spec, frozenset(info.payload_schema or {}))
    except (KeyError, TypeError, ValueError) as damage:
        raise StorageCorruptError(f"the collection's settings in Qdrant are damaged: {damage!r}") from damage


def creation_arguments(identity: Identity, spec: CollectionSpec, options: QdrantOptions) -> dict[str, Any]:
    """Return the arguments of create_collection, but for the name.

    Raises:
        IndexUnsupportedError: an index of another kind than INDEX_KINDS.
    """
    acknowledging = options.write_consistency_factor or options.replication_factor
    return {
        "vectors_config": {
            identity.vector: models.VectorParams(
                size=spec.dimension, distance=DISTANCES[spec.metric], on_disk=options.vectors_on_disk
            )
        },
        "hnsw_config": _hnsw(spec.index, options),
        "optimizers_config": optimizers_config(options),
        "quantization_config": quantization_config(options),
        "shard_number": options.shard_number,
        "replication_factor": options.replication_factor,
        "write_consistency_factor": acknowledging,
        "on_disk_payload": options.on_disk_payload,
        "metadata": metadata_of(identity, spec),
    }


def update_arguments(stored: StoredCollection, index: IndexConfig | None, options: QdrantOptions) -> dict[str, Any]:
    """Return the arguments of update_collection, but for the name, that change the index and what is kept of it at once.

    Raises:
        IndexUnsupportedError: an index of another kind than INDEX_KINDS, or back to Qdrant's choice, which nothing tells Qdrant.
    """
    if index is None:
        if stored.spec.index is not None:
            raise IndexUnsupportedError(
                "Qdrant cannot be told to choose the index again once one was named: name another"
            )
        return {}
    return {"hnsw_config": _hnsw(index, options), "metadata": {INDEX_KEY: _index_settings(index)}}


def _index_settings(index: IndexConfig) -> dict[str, Any]:
    return {"kind": index.kind, **index_numbers(index)}


def _hnsw(index: IndexConfig | None, options: QdrantOptions) -> models.HnswConfigDiff | None:
    configured = hnsw_config(options)
    match index:
        case None:
            return configured
        case FlatIndex():
            return models.HnswConfigDiff(m=0)
        case HnswIndex(m, ef_construction, quantization=Quantization.NONE):
            return (configured or models.HnswConfigDiff()).model_copy(update={"m": m, "ef_construct": ef_construction})
        case _:
            raise IndexUnsupportedError(
                f"the qdrant backend builds indexes of these kinds: {', '.join(INDEX_KINDS)}; its option `quantization` quantises"
            )


def _index(settings: Mapping[str, Any]) -> IndexConfig:
    parameters = {name: value for name, value in settings.items() if name != "kind"}
    return INDEX_KINDS[settings["kind"]](**parameters)
