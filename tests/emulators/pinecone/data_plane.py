"""The Vectors API of one index."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from emulators.pinecone.namespace import Namespace, View
from emulators.pinecone.refusal import RefusalError, only, require
from emulators.pinecone.vectors import StoredVector, checked_id, checked_namespace, checked_values, checked_vector

MOST_VECTORS = 1_000
MOST_BODY_BYTES = 2_000_000
MOST_MATCHES = 10_000
MOST_IDS = 1_000
MOST_ANSWER_BYTES = 4_000_000
MOST_URL_BYTES = 8_000
USAGE = {"readUnits": 1}


@dataclass(frozen=True, slots=True)
class Lag:
    """How many requests to the project pass until a write is seen by queries, and by fetches, lists and statistics."""

    queries: int = 0
    fetches: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, which may hold text that is JSON already, and headers beside it."""

    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class DataPlane:
    """Answers the requests to one index; `now` is the number of requests to its project so far."""

    def __init__(self, dimension: int, metric: str, clock: Callable[[], int], lag: Callable[[], Lag]) -> None:
        self.dimension = dimension
        self.metric = metric
        self.namespaces: dict[str, Namespace] = {}
        self._clock = clock
        self._lag = lag
        self.routes: dict[tuple[str, str], Callable[[dict[str, Any]], Answer]] = {
            ("POST", "/vectors/upsert"): self.upsert,
            ("POST", "/query"): self.query,
            ("GET", "/vectors/fetch"): self.fetch,
            ("POST", "/vectors/fetch_by_metadata"): self.fetch_by_metadata,
            ("GET", "/vectors/list"): self.list,
            ("POST", "/vectors/delete"): self.delete,
            ("POST", "/describe_index_stats"): self.stats,
        }

    def upsert(self, body: dict[str, Any]) -> Answer:
        only(body, {"vectors", "namespace"})
        items = body.get("vectors")
        require(isinstance(items, list) and bool(items), "vectors must not be empty")
        assert isinstance(items, list)
        require(len(items) <= MOST_VECTORS, f"{len(items)} vectors exceed the limit of {MOST_VECTORS} an upsert")
        put = [checked_vector(item, self.dimension) for item in items]
        namespace = self.namespaces.setdefault(checked_namespace(body.get("namespace", "")), Namespace())
        return self._written(namespace.write(self._clock(), put=put), {"upsertedCount": len(put)})

    def query(self, body: dict[str, Any]) -> Answer:
        only(body, {"topK", "includeValues", "includeMetadata", "namespace", "vector", "id", "filter"})
        top_k = body.get("topK")
        require(isinstance(top_k, int) and 1 <= top_k <= MOST_MATCHES, f"topK must be 1 to {MOST_MATCHES}")
        require(("vector" in body) is not ("id" in body), "give a vector or an id")
        view, seen = self._searched(body)
        passing = view.matching(body.get("filter", {}))
        if "id" in body:
            stored = view.records.get(checked_id(body["id"]))
            values = None if stored is None else stored.values
        else:
            values = checked_values(body["vector"], self.dimension)
        found = [] if values is None else view.nearest(values, self.metric, passing, int(body["topK"]))
        parts = {"values": body.get("includeValues", False), "metadata": body.get("includeMetadata", False)}
        matches = [record.json(**parts) | {"score": score} for score, record in found]
        text = orjson.dumps({"matches": matches, "namespace": body.get("namespace", ""), "usage": USAGE})
        size = len(text)
        require(size <= MOST_ANSWER_BYTES, f"Query result of {size} bytes exceeds the limit of {MOST_ANSWER_BYTES}")
        return Answer(orjson.Fragment(text), {"x-pinecone-max-indexed-lsn": str(seen)})

    def fetch(self, parameters: dict[str, Any]) -> Answer:
        only(parameters, {"ids", "namespace"})
        ids = [checked_id(name) for name in parameters.get("ids", [])]
        require(1 <= len(ids) <= MOST_IDS, f"fetch takes 1 to {MOST_IDS} ids")
        view = self._fetched(_single(parameters))
        vectors = {name: view.records[name].json() for name in ids if name in view.records}
        return Answer({"vectors": vectors, "namespace": _single(parameters).get("namespace", ""), "usage": USAGE})

    def fetch_by_metadata(self, body: dict[str, Any]) -> Answer:
        only(body, {"filter", "namespace", "limit", "paginationToken"})
        require(bool(body.get("filter")), "filter must not be empty")
        limit = body.get("limit", 100)
        require(isinstance(limit, int) and 1 <= limit <= MOST_MATCHES, f"limit must be 1 to {MOST_MATCHES}")
        found = _after(self._fetched(body).matching(body["filter"]).records, body.get("paginationToken"))
        vectors: dict[str, Any] = {}
        size = 0
        for record in found[:limit]:
            size += record.size
            if size > MOST_ANSWER_BYTES:
                break
            vectors[record.id] = record.json()
        answer = {"vectors": vectors, "namespace": body.get("namespace", ""), "usage": USAGE}
        return Answer(answer | _pagination(found, len(vectors)))

    def list(self, parameters: dict[str, Any]) -> Answer:
        single = _single(parameters)
        only(single, {"namespace", "prefix", "limit", "paginationToken"})
        limit = int(single.get("limit", 100))
        require(1 <= limit <= 100, "limit must be 1 to 100")
        prefix = single.get("prefix", "")
        found = _after(self._fetched(single).matching({}).records, single.get("paginationToken"))
        found = [record for record in found if record.id.startswith(prefix)]
        page = [{"id": record.id} for record in found[:limit]]
        answer = {"vectors": page, "namespace": single.get("namespace", ""), "usage": USAGE}
        return Answer(answer | _pagination(found, len(page)))

    def delete(self, body: dict[str, Any]) -> Answer:
        only(body, {"ids", "deleteAll", "filter", "namespace"})
        chosen = [key for key in ("ids", "deleteAll", "filter") if body.get(key)]
        require(len(chosen) == 1, "give exactly one of ids, deleteAll and filter")
        name = checked_namespace(body.get("namespace", ""))
        if name not in self.namespaces:
            raise RefusalError(404, "Namespace not found")
        namespace = self.namespaces[name]
        if body.get("ids"):
            require(len(body["ids"]) <= MOST_IDS, f"delete takes at most {MOST_IDS} ids")
            namespace.write(self._clock(), removed=[checked_id(each) for each in body["ids"]])
        elif body.get("filter"):
            found = namespace.fetched(self._clock()).matching(body["filter"])
            namespace.write(self._clock(), removed=[record.id for record in found.records])
        else:
            namespace.write(self._clock(), emptied=True)
        return Answer({})

    def stats(self, body: dict[str, Any]) -> Answer:
        require(not body.get("filter"), "describe_index_stats takes no filter for this index")
        counts = {name: len(self._view(namespace)) for name, namespace in self.namespaces.items()}
        return Answer(
            {
                "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
                "dimension": self.dimension,
                "indexFullness": 0,
                "totalVectorCount": sum(counts.values()),
                "metric": self.metric,
                "vectorType": "dense",
            }
        )

    def _view(self, namespace: Namespace) -> dict[str, StoredVector]:
        return namespace.fetched(self._clock() - self._lag().fetches).records

    def _searched(self, body: dict[str, Any]) -> tuple[View, int]:
        namespace = self.namespaces.get(checked_namespace(body.get("namespace", "")))
        return (View(), 0) if namespace is None else namespace.searched(self._clock() - self._lag().queries)

    def _fetched(self, body: dict[str, Any]) -> View:
        namespace = self.namespaces.get(checked_namespace(body.get("namespace", "")))
        return View() if namespace is None else namespace.fetched(self._clock() - self._lag().fetches)

    @staticmethod
    def _written(lsn: int, body: dict[str, Any]) -> Answer:
        return Answer(body, {"x-pinecone-request-lsn": str(lsn)})


def _single(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in parameters.items()}


def _after(found: Sequence[StoredVector], token: Any) -> Sequence[StoredVector]:
    """Return the records that come after the token's id."""
    if token is None:
        return found
    try:
        last = base64.b64decode(str(token), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise RefusalError(400, "Invalid pagination token") from None
    return found[bisect_right(found, last, key=lambda record: record.id) :]


def _pagination(found: Sequence[StoredVector], returned: int) -> dict[str, Any]:
    if returned >= len(found):
        return {}
    return {"pagination": {"next": base64.b64encode(found[returned - 1].id.encode()).decode()}}
