"""The indexes of a project: made, described, listed, deleted; each step takes its time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from emulators.pinecone.data_plane import DataPlane, Lag
from emulators.pinecone.refusal import RefusalError, only, require

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
TAG = re.compile(r"[A-Za-z0-9_-]{1,80}")
METRICS = {"cosine", "dotproduct", "euclidean"}


@dataclass(slots=True)
class Index:
    """An index; `pending` describes pass until it is ready, or gone."""

    name: str
    host: str
    tags: dict[str, str]
    deployment: dict[str, Any]
    data: DataPlane
    pending: int
    ending: bool = False

    def json(self) -> dict[str, Any]:
        state = "Terminating" if self.ending else "Initializing" if self.pending else "Ready"
        vectors = {"type": "dense_vector", "dimension": self.data.dimension, "metric": self.data.metric}
        model: dict[str, Any] = {
            "name": self.name,
            "status": {"ready": state == "Ready", "state": state},
            "schema": {"fields": {"_values": vectors}},
            "deployment": self.deployment,
            "deletion_protection": "disabled",
            "tags": self.tags or None,
            "read_capacity": {
                "mode": "OnDemand",
                "status": {"state": "Ready", "current_shards": None, "current_replicas": None},
            },
        }
        return model if state == "Initializing" else model | {"host": self.host}


@dataclass(slots=True)
class Project:
    """What one API key opens.

    Attributes:
        url: the emulator's address. lag: of writes. ready_after: describes until an index is ready, or gone.
        most_indexes: how many there may be.
    """

    url: str
    lag: Lag = field(default_factory=Lag)
    ready_after: int = 0
    most_indexes: int = 100
    requests: int = 0
    indexes: dict[str, Index] = field(default_factory=dict)
    made: int = 0

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        only(body, {"name", "schema", "deployment", "tags", "deletion_protection"})
        name = body.get("name", "")
        require(NAME.fullmatch(name) is not None, f"Invalid name {name!r}")
        dimension, metric = _checked_schema(body.get("schema"))
        tags = body.get("tags", {})
        _check_tags(tags)
        if name in self.indexes:
            raise RefusalError(409, "Resource already exists")
        if len(self.indexes) >= self.most_indexes:
            raise RefusalError(403, "You've reached the max serverless indexes allowed in project", "QUOTA_EXCEEDED")
        deployment = body.get("deployment", {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"})
        require(deployment.get("deployment_type") == "managed", "deployment_type must be managed")
        self.made += 1
        data = DataPlane(dimension, metric, lambda: self.requests, lambda: self.lag)
        host = f"{self.url}/index/{self.made}"
        self.indexes[name] = Index(name, host, tags, deployment, data, self.ready_after)
        return self.indexes[name].json()

    def describe(self, name: str) -> dict[str, Any]:
        index = self._existing(name)
        model = index.json()
        if index.pending:
            index.pending -= 1
        elif index.ending:
            del self.indexes[name]
        return model

    def list(self) -> dict[str, Any]:
        return {"indexes": [index.json() for index in self.indexes.values()]}

    def delete(self, name: str) -> None:
        index = self._existing(name)
        index.ending, index.pending = True, self.ready_after

    def data_plane(self, serial: str) -> DataPlane:
        for index in self.indexes.values():
            if index.host.endswith(f"/{serial}") and not index.ending and not index.pending:
                return index.data
        raise RefusalError(404, "Index not found")

    def _existing(self, name: str) -> Index:
        if name not in self.indexes:
            raise RefusalError(404, f"Resource {name} not found")
        return self.indexes[name]


def _checked_schema(schema: Any) -> tuple[int, str]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    require(isinstance(fields, dict) and set(fields) == {"_values"}, "this emulator serves dense vector indexes alone")
    assert isinstance(fields, dict)
    vectors = fields["_values"]
    only(vectors, {"type", "dimension", "metric"})
    require(vectors.get("type") == "dense_vector", "type must be dense_vector")
    dimension, metric = vectors.get("dimension"), vectors.get("metric")
    require(isinstance(dimension, int) and 1 <= dimension <= 20_000, "dimension must be 1 to 20000")
    require(metric in METRICS, f"metric must be one of {sorted(METRICS)}")
    return int(dimension), str(metric)


def _check_tags(tags: Any) -> None:
    require(isinstance(tags, dict) and len(tags) <= 20, "at most 20 tags")
    for key, value in tags.items():
        require(TAG.fullmatch(key) is not None, f"Invalid tag key {key!r}")
        legal = isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 120
        require(legal, f"Invalid tag value of {key!r}")
