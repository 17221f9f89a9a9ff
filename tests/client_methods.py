"""Every method of the client that calls a server, for tests that walk through all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, Callable[[Any], Any]] = {
    "count": lambda client: client.count("docs"),
    "create_collection": lambda client: client.create_collection("docs"),
    "delete": lambda client: client.delete("docs", all=True),
    "delete_collection": lambda client: client.delete_collection("docs"),
    "encode": lambda client: client.encode(["text"]),
    "field_stats": lambda client: client.field_stats("docs", "year"),
    "get": lambda client: client.get("docs", ["a"]),
    "get_collection": lambda client: client.get_collection("docs"),
    "health": lambda client: client.health(),
    "list": lambda client: client.list("docs"),
    "list_collections": lambda client: client.list_collections(),
    "list_models": lambda client: client.list_models(),
    "rerank": lambda client: client.rerank("model", "query", ["text"]),
    "search": lambda client: client.search("docs", "text"),
    "search_batch": lambda client: client.search_batch("docs", ["text"]),
    "search_ids": lambda client: client.search_ids("docs", ["text"]),
    "search_many": lambda client: client.search_many("docs", ["text"]),
    "server_info": lambda client: client.server_info(),
    "update_collection": lambda client: client.update_collection("docs", index=None),
    "update_metadata": lambda client: client.update_metadata("docs", all=True, remove=["year"]),
    "upsert": lambda client: client.upsert("docs", [{"id": "a", "text": "text"}]),
    "upsert_many": lambda client: client.upsert_many("docs", [{"id": "a", "text": "text"}]),
    "wait_ready": lambda client: client.wait_ready(),
}
"""Every method of the client that calls the server → a call of it."""
