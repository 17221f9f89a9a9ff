"""TLS on the server's port: certificates that change while calls go on, and what cannot be used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from secured.serving import TlsFolder, credentials

from vecgate import Client, TlsError, TlsOptions
from vecgate.v1.server_info_pb2 import GetServerInfoRequest
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.config_security import TlsSettings
from vecgate_server.security.tls_files import TlsFilesError, check_tls_files, read_tls_files

RELOAD_SECONDS = 0.1


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def settings(tls: TlsFolder) -> dict[str, Any]:
    return {
        "security": {"tls": tls.settings, "reload_seconds": RELOAD_SECONDS},
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
    }


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds at most."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def trusted(address: str, authority: trustme.CA, issuer: trustme.CA | None = None) -> bool:
    """Whether a new connection that trusts an authority can be made."""
    # A pool of its own, or the channel would use the connection that another one has.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials(authority, issuer or authority), options) as channel:
        try:
            VectorSearchServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=5)
        except grpc.RpcError as refused:
            assert refused.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # nothing else may be answered
            return False
        return True


def test_the_client_speaks_to_a_server_with_tls(start_server: Any, authority: trustme.CA, tmp_path: Path) -> None:
    server = start_server(settings(TlsFolder(tmp_path, authority, asks=False)))
    with Client(server.address, tls=TlsOptions(ca=authority.cert_pem.bytes())) as client:
        assert client.server_info().version
    with Client(server.address, tls=True) as client, pytest.raises(TlsError, match="not trusted"):
        client.server_info()


def test_a_new_certificate_is_served_and_calls_under_way_go_on(
    start_server: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    tls = TlsFolder(tmp_path, authority)
    server = start_server(settings(tls))
    other = trustme.CA()
    with grpc.secure_channel(server.address, credentials(authority, authority)) as channel:
        stub = VectorSearchServiceStub(channel)
        stub.GetServerInfo(GetServerInfoRequest(), timeout=5)
        tls.write(other.issue_cert("127.0.0.1"))
        eventually(lambda: trusted(server.address, other, authority))
        assert not trusted(server.address, authority)
        stub.GetServerInfo(GetServerInfoRequest(), timeout=5)
        (tmp_path / "ca.crt").write_bytes(other.cert_pem.bytes())
        eventually(lambda: trusted(server.address, other, other))
        assert not trusted(server.address, other, authority)
        stub.GetServerInfo(GetServerInfoRequest(), timeout=5)


def test_a_pair_that_does_not_match_changes_nothing_and_is_told_once(
    start_server: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    tls = TlsFolder(tmp_path, authority)
    server = start_server(settings(tls))
    other = trustme.CA()
    new = other.issue_cert("127.0.0.1")
    tls.write(new, key=authority.issue_cert("127.0.0.1").private_key_pem.bytes())
    eventually(lambda: "belongs to another certificate" in server.log.read_text())
    time.sleep(3 * RELOAD_SECONDS)
    assert trusted(server.address, authority)
    log = server.log.read_text()
    assert log.count("ERROR") == 1
    assert "PRIVATE KEY" not in log
    tls.write(new)
    eventually(lambda: trusted(server.address, other, authority))


def test_a_link_that_moves_as_in_kubernetes_is_followed(
    start_server: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    other = trustme.CA()
    for name, issuer in (("..1", authority), ("..2", other)):
        (tmp_path / name).mkdir()
        TlsFolder(tmp_path / name, authority).write(issuer.issue_cert("127.0.0.1"))
    # All times of the files are the same, and so are the paths.
    for part in ("tls.crt", "tls.key", "ca.crt"):
        shutil.copystat(tmp_path / "..1" / part, tmp_path / "..2" / part)
    (tmp_path / "..data").symlink_to("..1")
    served = {
        name: f"{tmp_path}/..data/{part}"
        for name, part in (("certificate", "tls.crt"), ("key", "tls.key"), ("client_ca", "ca.crt"))
    }
    server = start_server(
        {
            "security": {"tls": served, "reload_seconds": RELOAD_SECONDS},
            "backends": {"memory": {"kind": "memory"}},
            "models": {"preload": []},
        }
    )
    assert trusted(server.address, authority)
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    eventually(lambda: trusted(server.address, other, authority))


async def test_the_server_tells_when_its_certificate_expires(authority: trustme.CA, tmp_path: Path) -> None:
    tls = TlsFolder(tmp_path, authority)
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    tls.write(authority.issue_cert("127.0.0.1", not_after=soon))
    async with Server(Settings.model_validate(settings(tls) | {"server": {"port": 0}})) as server:
        assert server.protection.certificate_expiry == soon.timestamp()
    plain = Settings.model_validate({"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}})
    assert Server(plain).protection.certificate_expiry is None


def write_self_signed(folder: Path) -> None:
    """Write a certificate of a key on P-521."""
    key, name = ec.generate_private_key(ec.SECP521R1()), x509.Name([])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, SHA512())
    )
    (folder / "tls.crt").write_bytes(built.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


EXPIRED = datetime(2021, 1, 1, tzinfo=UTC)
WRONG: dict[str, tuple[Callable[[TlsFolder], object], str]] = {
    "a key of another certificate": (
        lambda tls: tls.write(tls.authority.issue_cert("a"), tls.authority.issue_cert("b").private_key_pem.bytes()),
        "key: belongs to another certificate",
    ),
    "an expired certificate": (
        lambda tls: tls.write(
            tls.authority.issue_cert("a", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=EXPIRED)
        ),
        "certificate: expired at 2021-01-01",
    ),
    "a certificate of the future": (
        lambda tls: tls.write(
            tls.authority.issue_cert(
                "a", not_before=datetime(2100, 1, 1, tzinfo=UTC), not_after=datetime(2101, 1, 1, tzinfo=UTC)
            )
        ),
        "certificate: not valid before 2100-01-01",
    ),
    "a damaged certificate": (
        lambda tls: (tls.folder / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\nSECRET"),
        "certificate: holds no certificate",
    ),
    "a damaged key": (
        lambda tls: (tls.folder / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\nSECRET"),
        "key: holds no private key",
    ),
    "no file": (lambda tls: (tls.folder / "tls.key").unlink(), "key: .*No such file"),
    "a damaged CA": (lambda tls: (tls.folder / "ca.crt").write_text("SECRET"), "client_ca: holds no certificate"),
    "a key with a passphrase": (
        lambda tls: (tls.folder / "tls.key").write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            )
        ),
        "key: protected by a passphrase",
    ),
    "a key that gRPC does not serve": (lambda tls: write_self_signed(tls.folder), "key: gRPC serves keys of RSA"),
}


@pytest.mark.parametrize(("spoil", "fault"), WRONG.values(), ids=WRONG)
def test_files_that_cannot_be_used_are_told_without_what_they_hold(
    spoil: Callable[[TlsFolder], object], fault: str, authority: trustme.CA, tmp_path: Path
) -> None:
    tls = TlsFolder(tmp_path, authority)
    assert check_tls_files(read_tls_files(TlsSettings.model_validate(tls.settings))) > datetime.now(UTC)
    spoil(tls)
    with pytest.raises(TlsFilesError, match=f"security.tls.{fault}") as refused:
        check_tls_files(read_tls_files(TlsSettings.model_validate(tls.settings)))
    assert "SECRET" not in str(refused.value)
    assert "PRIVATE" not in repr(TlsSettings.model_validate(tls.settings))
