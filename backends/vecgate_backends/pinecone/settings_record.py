"""The settings of a collection, kept at Pinecone: a record in a reserved namespace of its index, and a digest of it in a tag.

The tag comes with the index, at once and for every reader; the record may become visible later. Whoever reads a record whose digest is not the
tag's knows that it is not there yet. The digest covers an identity that every creation makes anew, so that a collection that was
deleted and made again is told from its predecessor.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.pinecone.record_codec import MOST_METADATA_BYTES
from vecgate_backends.records import CollectionSpec, Metric, ModelBinding, Timestamp

DIGEST_TAG = "vecgate-settings"
NAME_TAG = "vecgate-collection"
SETTINGS_ID = "settings"
SETTINGS_KEY = "settings"
METRICS = {Metric.COSINE: "cosine", Metric.DOT: "dotproduct", Metric.EUCLIDEAN: "euclidean"}
"""Metric → its name at Pinecone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A collection's settings and its identity, 32 hex digits."""

    identity: str
    spec: CollectionSpec

    @classmethod
    def new(cls, spec: CollectionSpec) -> Settings:
        """Give a collection an identity."""
        return cls(uuid.uuid4().hex, spec)

    @property
    def text(self) -> str:
        """The JSON that is stored."""
        return json.dumps({"identity": self.identity, "spec": asdict(self.spec)}, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """The SHA-256 of the text, 64 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the index."""
        return {DIGEST_TAG: self.digest, NAME_TAG: self.spec.name}

    def vector(self) -> dict[str, Any]:
        """Return the record that holds them, with a vector because Pinecone wants one.

        Raises:
            InvalidArgumentError: they are too long.
        """
        if len(self.text) > MOST_METADATA_BYTES:
            raise InvalidArgumentError("the settings of the collection, prompts included, are too long for Pinecone")
        values = [1.0] + [0.0] * (self.spec.dimension - 1)
        return {"id": SETTINGS_ID, "values": values, "metadata": {SETTINGS_KEY: self.text}}


def read_settings(text: str) -> Settings:
    """Return what Settings.text was made from."""
    stored = json.loads(text)
    spec = stored["spec"]
    model = spec["model"]
    return Settings(
        stored["identity"],
        CollectionSpec(
            name=spec["name"],
            dimension=spec["dimension"],
            metric=Metric(spec["metric"]),
            model=None if model is None else ModelBinding(**model),
            index=None,
            created=Timestamp(**spec["created"]),
        ),
    )
