"""The Pinecone backend under the suite, on Pinecone itself: with PINECONE_API_KEY in the environment, and skipped by name without.

PINECONE_CLOUD and PINECONE_REGION choose the place (aws, us-east-1), PINECONE_CONTROLLER_HOST another controller. Indexes begin with a prefix of this run's own, and each test's are deleted when
it ends; a plan that allows five is enough. It takes long, since every test makes an index.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pinecone import Pinecone
from pydantic import SecretStr

from vecgate_backends.conformance import *  # noqa: F403  # the tests are adopted whole
from vecgate_backends.conformance import Case
from vecgate_backends.contract import Backend
from vecgate_backends.pinecone import PineconeBackend, PineconeOptions

API_KEY = os.environ.get("PINECONE_API_KEY", "")
RUN = f"vgt{uuid.uuid4().hex[:6]}"

if not API_KEY:
    pytest.skip("PINECONE_API_KEY is not set", allow_module_level=True)
pytestmark = [pytest.mark.cloud, pytest.mark.timeout(1_800)]


def cloud(directory: Path) -> Backend:
    place = hashlib.sha256(str(directory).encode()).hexdigest()[:6]
    return PineconeBackend(
        PineconeOptions(
            api_key=SecretStr(API_KEY),
            controller_url=os.environ.get("PINECONE_CONTROLLER_HOST", PineconeOptions().controller_url),
            cloud=os.environ.get("PINECONE_CLOUD", "aws"),
            region=os.environ.get("PINECONE_REGION", "us-east-1"),
            index_prefix=f"{RUN}-{place}-",
            deadline_seconds=120.0,
            visible_seconds=120.0,
        )
    )


@pytest.fixture(autouse=True)
def no_index_is_left() -> Iterator[None]:
    """Delete what a test made, whatever became of it."""
    yield
    with Pinecone(api_key=API_KEY) as controller:
        for index in controller.indexes.list():
            if index.name.startswith(RUN):
                controller.indexes.delete(index.name, timeout=300)


CASES = [Case("pinecone", cloud, examples=2)]
