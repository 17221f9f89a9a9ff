"""The Qdrant backend under the suite: against the emulated server, and a real one where VECGATE_TEST_QDRANT_URL names it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from emulators.qdrant_server import QdrantEmulator
from pydantic import SecretStr
from qdrant_client import QdrantClient

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.qdrant import QdrantBackend, QdrantOptions
from vecgate_backends.records import FlatIndex

REAL_SERVER = os.environ.get("VECGATE_TEST_QDRANT_URL", "")
"""Such as http://localhost:6333; its gRPC port is one above. VECGATE_TEST_QDRANT_API_KEY holds the key, if it wants one."""
API_KEY = os.environ.get("VECGATE_TEST_QDRANT_API_KEY", "")
RUN = f"vecgate-test-{uuid.uuid4().hex[:8]}-"


emulator = cache(QdrantEmulator)


@pytest.fixture(scope="module", autouse=True)
def _clean_up() -> Iterator[None]:
    """Stop the emulator, and leave nothing on a real server."""
    yield
    if emulator.cache_info().currsize:
        emulator().stop()
        emulator.cache_clear()
    if REAL_SERVER:
        client = QdrantClient(url=REAL_SERVER, api_key=API_KEY or None)
        for each in client.get_collections().collections:
            if each.name.startswith(RUN):
                client.delete_collection(each.name)
        client.close()


def place(directory: Path) -> str:
    """Return the prefix of names that stands for a directory."""
    return f"{RUN}{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}-"


def emulated(directory: Path) -> Backend:
    return QdrantBackend(QdrantOptions(host="127.0.0.1", grpc_port=emulator().port, prefix=place(directory)))


def real(directory: Path) -> Backend:
    port = urlsplit(REAL_SERVER).port or 6333
    return QdrantBackend(
        QdrantOptions(
            url=REAL_SERVER, port=port, grpc_port=port + 1, api_key=SecretStr(API_KEY), prefix=place(directory)
        )
    )


CASES = [
    Case("qdrant-emulated", emulated, emulated=True, examples=4),
    *([Case("qdrant", real), Case("qdrant-flat", real, index=FlatIndex())] if REAL_SERVER else []),
]
