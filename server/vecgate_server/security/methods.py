"""What each method asks of a key: a scope, and where in its request the collection and the namespace stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vecgate_server.calls.caller import Scope


class Reach(Enum):
    """How far a method sees."""

    RECORDS = "records"
    """Records of one namespace of one collection."""
    COLLECTION = "collection"
    """One collection; what is told of it is cut down to the key's namespace by its handler."""
    EVERY_NAMESPACE = "every namespace"
    """One collection with all its namespaces: nothing for a key that is bound to one."""
    LISTING = "listing"
    """Every collection; its handler leaves out those that the key is not for."""
    NOTHING_STORED = "nothing stored"
    """No collection."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a method asks.

    Attributes:
        scope: the least that the key must have.
        reach: how far it sees.
        part: the message of the request that names collection and namespace; "": the request itself.
        collection: the field that names the collection; "": none does.
    """

    scope: Scope
    reach: Reach
    part: str = ""
    collection: str = ""

    def place(self, request: Any) -> Any | None:
        """Return the message that names the collection; None where the request has none, as the later messages of a stream."""
        if not self.part:
            return request
        return getattr(request, self.part) if request.HasField(self.part) else None


def _records(scope: Scope, part: str = "") -> Demand:
    return Demand(scope, Reach.RECORDS, part, "collection")


_NO_RECORDS = Demand(Scope.READ, Reach.NOTHING_STORED)
_WHOLE = Demand(Scope.ADMIN, Reach.EVERY_NAMESPACE, collection="name")

DEMANDS: Mapping[str, Demand] = {
    "Encode": _NO_RECORDS,
    "Rerank": _NO_RECORDS,
    "ListModels": _NO_RECORDS,
    "GetServerInfo": _NO_RECORDS,
    "Search": _records(Scope.READ),
    "SearchBatch": _records(Scope.READ),
    "Get": _records(Scope.READ),
    "Count": _records(Scope.READ),
    "List": _records(Scope.READ),
    "FieldStats": _records(Scope.READ),
    "Upsert": _records(Scope.WRITE),
    "UpsertStream": _records(Scope.WRITE, "open"),
    "UpdateMetadata": _records(Scope.WRITE),
    "Delete": _records(Scope.WRITE),
    "GetCollection": Demand(Scope.READ, Reach.COLLECTION, collection="name"),
    "ListCollections": Demand(Scope.READ, Reach.LISTING),
    "CreateCollection": _WHOLE,
    "UpdateCollection": _WHOLE,
    "DeleteCollection": _WHOLE,
}
"""A method that is not here is refused to every key."""
