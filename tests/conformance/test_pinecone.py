"""The Pinecone backend under the suite, against the emulator: the unmodified SDK on a real socket.

The emulator proves the translation, not the vendor's engine; test_pinecone_cloud.py runs the same suite there.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from emulators.pinecone import Emulator
from emulators.pinecone.data_plane import Lag
from pydantic import SecretStr

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions

LAG = Lag(queries=2, fetches=3)
"""A write is visible after a few more requests, and to fetches later than to queries."""


@cache
def emulator() -> Emulator:
    return Emulator().__enter__()


def pinecone(directory: Path) -> Backend:
    key = hashlib.sha256(str(directory).encode()).hexdigest()
    emulator().seen.clear()
    emulator().project(key, lag=LAG, ready_after=1)
    return PineconeBackend(PineconeOptions(api_key=SecretStr(key), controller_url=emulator().url))


CASES = [Case("pinecone-emulated", pinecone, examples=8)]
