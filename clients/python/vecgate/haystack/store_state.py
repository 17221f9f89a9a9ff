"""What a document store knows, and what its blocking and asynchronous methods share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from haystack import default_from_dict, default_to_dict
from haystack.errors import FilterError
from haystack.utils import Secret, deserialize_secrets_inplace

from vecgate.channel import DEFAULT_TARGET, Deadlines
from vecgate.errors import FailedPreconditionError
from vecgate.haystack.documents import EMBEDDED
from vecgate.haystack.filter_translation import StoreFilter, Translation, translate
from vecgate.records import Fields, Metric, Truncation
from vecgate.results import Collection
from vecgate.security import TlsOptions
from vecgate.store_clients import StoreClients
from vecgate.store_collection import StoreCollection

DEFAULT_COLLECTION = "haystack"


class StoreState:
    """The part of the document store that is neither blocking nor asynchronous."""

    def __init__(
        self,
        collection: str = DEFAULT_COLLECTION,
        *,
        target: str = DEFAULT_TARGET,
        namespace: str = "",
        model: str | None = None,
        embedding_dimension: int | None = None,
        metric: Metric = "cosine",
        backend: str | None = None,
        create_collection: bool = True,
        truncation: Truncation = "error",
        return_embedding: bool | None = None,
        api_key: Secret | None = None,
        deadlines: Mapping[str, float] | None = None,
        tls: bool | Mapping[str, str] = False,
        **connection: Any,
    ) -> None:
        self._parameters: dict[str, Any] = {
            "collection": collection,
            "target": target,
            "namespace": namespace,
            "model": model,
            "embedding_dimension": embedding_dimension,
            "metric": metric,
            "backend": backend,
            "create_collection": create_collection,
            "truncation": truncation,
            "return_embedding": return_embedding,
            "api_key": api_key,
            "deadlines": None if deadlines is None else dict(deadlines),
            "tls": tls if isinstance(tls, bool) else dict(tls),
            **connection,
        }
        self.namespace = namespace
        self._truncation = truncation
        self._return_embedding = return_embedding
        self._clients = self._connections(connection)
        self._collection = self._described(create=create_collection)

    def _connections(self, further: Mapping[str, Any]) -> StoreClients:
        key, deadlines, tls = (self._parameters[name] for name in ("api_key", "deadlines", "tls"))
        options = {
            "api_key": None if key is None else key.resolve_value(),
            "deadlines": None if deadlines is None else Deadlines(**deadlines),
            "tls": tls if isinstance(tls, bool) else TlsOptions(**tls),
        }
        return StoreClients(self._parameters["target"], {**options, **further})

    def _described(self, *, create: bool) -> StoreCollection:
        named = self._parameters
        settings = {name: named[name] for name in ("model", "metric", "backend")}
        settings["dimension"] = named["embedding_dimension"]
        return StoreCollection(self._clients, named["collection"], settings, create=create, check=self._check)

    def __repr__(self) -> str:
        target = self._parameters["target"]
        return f"{type(self).__name__}({self.collection!r}, target={target!r}, namespace={self.namespace!r})"

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._collection.name

    def to_dict(self) -> dict[str, Any]:
        """Write the store down for a pipeline; a key by the name of its variable, never itself."""
        key = self._parameters["api_key"]
        return default_to_dict(self, **{**self._parameters, "api_key": None if key is None else key.to_dict()})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the store that to_dict() wrote down."""
        deserialize_secrets_inplace(data["init_parameters"], keys=["api_key"])
        return default_from_dict(cls, data)

    def _check(self, found: Collection) -> None:
        """Refuse a collection that does not hold such vectors as were asked for.

        Raises:
            FailedPreconditionError: of another length, or encoded by the server though they are to come from the pipeline.
        """
        dimension = self._parameters["embedding_dimension"]
        if dimension is not None and found.dimension != dimension:
            raise FailedPreconditionError(
                f"collection {found.name!r} has vectors of {found.dimension} components, not {dimension}",
                reason="DIMENSION_MISMATCH",
            )
        if dimension is not None and self._parameters["model"] is None and found.model is not None:
            raise FailedPreconditionError(
                f"collection {found.name!r} is encoded by the server with {found.model.name!r}: leave out "
                "embedding_dimension, or use another collection",
                reason="COLLECTION_BOUND",
            )

    @property
    def _where(self) -> dict[str, Any]:
        """The arguments of every read."""
        return {"namespace": self.namespace, "consistency_token": self._collection.token}

    @property
    def _gives_embeddings(self) -> bool:
        """Whether filter_documents() gives them, once the collection is known."""
        known = self._collection.known
        return self._return_embedding if self._return_embedding is not None else known is None or known.model is None

    def _reading(self, translation: Translation, *, vectors: bool) -> dict[str, Any]:
        """Put the arguments of a read together; what is not exact needs whole documents, to be judged."""
        return {"fields": Fields(vector=vectors or not translation.exact), **self._where}

    def _search_options(
        self, filters: StoreFilter | None, top_k: int, score_threshold: float | None, *, return_embedding: bool
    ) -> dict[str, Any]:
        """Put the arguments of a search together.

        Raises:
            FilterError: the filter is malformed, or about something else than meta.
        """
        translation = translate(filters)
        if not translation.exact:
            raise FilterError("a search filters by meta alone; filter_documents() takes conditions on other fields too")
        return {
            "top_k": top_k,
            "filter": EMBEDDED if translation.necessary is None else translation.necessary & EMBEDDED,
            "score_threshold": score_threshold,
            "fields": Fields(vector=return_embedding),
            **self._where,
        }
