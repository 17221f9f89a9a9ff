"""Names of ours as names that Pinecone takes, each way without collisions.

Index names have 45 of a-z, 0-9 and "-"; namespaces and ids are ASCII, ids of 512 characters at most.
"""

from __future__ import annotations

import hashlib

LONGEST_INDEX_NAME = 45
LONGEST_ID = 512
RESERVED = "vecgate:"
SETTINGS_NAMESPACE = "vecgate:settings"
DEFAULT_NAMESPACE = "__default__"
_ESCAPE = "vecgate:="
_HASH_BITS = 53


def index_name(prefix: str, collection: str) -> str:
    """Return the name of a collection's index; where it would be too long, its end is a digest."""
    name = prefix + collection
    if len(name) <= LONGEST_INDEX_NAME:
        return name
    digest = hashlib.sha256(collection.encode()).hexdigest()[:12]
    return f"{name[: LONGEST_INDEX_NAME - 13].rstrip('-')}-{digest}"


def vendor_namespace(namespace: str) -> str:
    """Return Pinecone's namespace: the same name, but for the empty one and those that Pinecone or this module reserves."""
    if not namespace:
        return DEFAULT_NAMESPACE
    return _ESCAPE + namespace if namespace.startswith(("__", RESERVED)) else namespace


def own_namespace(vendor: str) -> str | None:
    """Return what vendor_namespace was given; None for the namespace that holds the settings."""
    if vendor in {"", DEFAULT_NAMESPACE}:
        return ""
    if vendor == SETTINGS_NAMESPACE:
        return None
    return vendor.removeprefix(_ESCAPE)


def vendor_id(record_id: str) -> str:
    """Return Pinecone's id of a record: the same, or a digest where Pinecone would not take it."""
    plain = record_id.isascii() and record_id.isprintable() and 1 <= len(record_id) <= LONGEST_ID
    if plain and not record_id.startswith(RESERVED):
        return record_id
    return RESERVED + hashlib.sha256(record_id.encode()).hexdigest()


def is_digest(vendor: str) -> bool:
    """Whether the record's own id must be read from its metadata."""
    return vendor.startswith(RESERVED)


def id_hash(vendor: str) -> int:
    """Return a number below 2^53 that stands for an id in filters; two ids may share one."""
    digest = hashlib.blake2b(vendor.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - _HASH_BITS)
