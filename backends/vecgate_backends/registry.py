"""Backends by name, through the entry-point group "vecgate.backends"; nothing is imported until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import cast

from vecgate_backends.contract import Backend
from vecgate_backends.errors import ConfigurationError

GROUP = "vecgate.backends"
EXTRAS: Mapping[str, str] = MappingProxyType({"faiss": "faiss", "pinecone": "pinecone", "qdrant": "qdrant"})
"""Backend kind → the extra of this distribution that brings what it imports."""


def backend_kinds() -> list[str]:
    """Return the names of all installed backends, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def backend_class(kind: str) -> type[Backend]:
    """Import and return the class registered under a name.

    Raises:
        ConfigurationError: no such backend, or what it needs is not installed; the message says what to do.
    """
    entry = _entry(kind)
    try:
        return cast("type[Backend]", entry.load())
    except ModuleNotFoundError as missing:
        extra = EXTRAS.get(kind)
        cure = f"pip install 'vecgate[{extra}]'" if extra else f"install the package {missing.name!r}"
        raise ConfigurationError(
            f"backend {kind!r} needs {missing.name!r}, which is not installed: {cure}"
        ) from missing


def _entry(kind: str) -> EntryPoint:
    for entry in entry_points(group=GROUP, name=kind):
        return entry
    raise ConfigurationError(f"unknown backend kind {kind!r}; installed are: {', '.join(backend_kinds())}")
