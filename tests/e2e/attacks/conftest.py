"""A server with TLS, client certificates and keys that lives for a module, and one on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from secured.keys import KeyFile
from secured.serving import COLLECTION, Root, TlsFolder, credentials

from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub


@dataclass(frozen=True)
class SecuredServer:
    """A server process with keys; `tls` and `authority` where it speaks TLS."""

    process: Any
    folder: Path
    keys: KeyFile
    authority: trustme.CA
    root: Root
    stub: Any
    """Of a client with everything but a key."""

    @property
    def address(self) -> str:
        return str(self.process.address)

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.log"


@pytest.fixture(scope="module")
def secured_server(
    server_process: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecuredServer]:
    """The memory backend behind mTLS and keys, with one filled collection."""
    folder = tmp_path_factory.mktemp("secured")
    authority, keys = trustme.CA(), KeyFile(folder / "keys.yaml")
    tls = TlsFolder(folder, authority)
    process = server_process(
        folder,
        {
            "security": {"tls": tls.settings, "keys_file": str(keys.path), "audit_file": str(folder / "audit.log")},
            "backends": {"memory": {"kind": "memory"}},
            "models": {"preload": []},
            "telemetry": {"log_level": "debug"},
        },
    )
    with grpc.secure_channel(process.address, credentials(authority, authority)) as channel:
        root = Root(channel, keys)
        root.fill(COLLECTION)
        yield SecuredServer(process, folder, keys, authority, root, VectorSearchServiceStub(channel))
    process.stop()
