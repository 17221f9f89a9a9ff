"""A server with TLS and keys, its clients, and what is stored there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import trustme

from secured.keys import FOREIGN, OWN, KeyFile
from secured.requests import REQUESTS, X, Y, record
from vecgate.v1 import collection_pb2, read_pb2, record_pb2, write_pb2
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

COLLECTION = "docs"
NAMESPACES = (OWN, FOREIGN, "")
FOREIGN_TEXT = "what-nobody-else-may-read"
"""Stands in the text and the metadata of the records of FOREIGN and of the default namespace."""


def chain_of(certificate: trustme.LeafCert) -> bytes:
    """Return a certificate with its chain, PEM."""
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


class TlsFolder:
    """Files of TLS as the settings name them; replaced as somebody replaces them by hand, or at once."""

    def __init__(self, folder: Path, authority: trustme.CA, *, asks: bool = True) -> None:
        self.folder = folder
        self.authority = authority
        self.settings = {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")}
        if asks:
            self.settings["client_ca"] = str(folder / "ca.crt")
            (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())
        self.write(authority.issue_cert("127.0.0.1"))

    def write(self, certificate: trustme.LeafCert, key: bytes | None = None) -> None:
        """Write a certificate, and its key or another one."""
        (self.folder / "tls.crt").write_bytes(chain_of(certificate))
        (self.folder / "tls.key").write_bytes(key or certificate.private_key_pem.bytes())
        (self.folder / "tls.key").chmod(0o600)


def credentials(authority: trustme.CA, issuer: trustme.CA | None = None) -> grpc.ChannelCredentials:
    """Return those of a client that trusts an authority and has a certificate of an issuer, or none."""
    if issuer is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    own = issuer.issue_cert("client@example.org")
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), own.private_key_pem.bytes(), chain_of(own))


class Root:
    """Whoever may do everything: fills a server, and tells what is stored there."""

    def __init__(self, channel: grpc.Channel, keys: KeyFile) -> None:
        self.stub: Any = VectorSearchServiceStub(channel)
        self._metadata = [("authorization", f"Bearer {keys['root']}")]

    def call(self, method: str, request: Any) -> Any:
        """Make a call."""
        return getattr(self.stub, method)(request, metadata=self._metadata, timeout=30)

    def fill(self, collection: str, backend: str = "", namespaces: Sequence[str] = NAMESPACES) -> None:
        """Make a collection with three records in each namespace; ids are the same in all."""
        self.call(
            "CreateCollection",
            collection_pb2.CreateCollectionRequest(
                name=collection, backend=backend, unbound=collection_pb2.Unbound(dimension=2)
            ),
        )
        for space in namespaces:
            text = "own" if space == OWN else FOREIGN_TEXT
            records = [
                record(identifier, f"{text} {identifier}", X if space == OWN else Y, owner=text)
                for identifier in ("a", "b", *([] if space == OWN else ["foreign-alone"]))
            ]
            answer = self.call(
                "Upsert", write_pb2.UpsertRequest(collection=collection, namespace=space, records=records)
            )
            assert not [outcome for outcome in answer.outcomes if outcome.HasField("error")]

    def records(self, collection: str, namespace: str) -> list[Any]:
        """Return all records of a namespace, by id."""
        fields = record_pb2.ReturnFields(text=True, vector=True, metadata=record_pb2.MetadataFields(all=True))
        request = read_pb2.ListRequest(collection=collection, namespace=namespace, fields=fields)
        return sorted(self.call("List", request).records, key=lambda each: each.id)

    def everything(self, namespaces: Sequence[str] = NAMESPACES) -> Any:
        """Return all that is stored, to be compared."""
        listed = self.call("ListCollections", REQUESTS["ListCollections"]("", "")).collections
        return [(collection, [self.records(collection.name, space) for space in namespaces]) for collection in listed]
