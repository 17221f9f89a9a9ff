"""TLS and client certificates, against a real gRPC server with TLS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from vecgate import (
    AsyncClient,
    Client,
    DeadlineExceededError,
    InvalidArgumentError,
    TlsError,
    TlsOptions,
    UnavailableError,
    UnimplementedError,
)

Start = Callable[..., tuple[Any, str]]
Certified = Callable[[trustme.CA], TlsOptions]


def chain_of(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def trusting(authority: trustme.CA, **parts: Any) -> TlsOptions:
    return TlsOptions(ca=authority.cert_pem.bytes(), **parts)


def test_a_server_with_a_certificate_of_the_named_ca_is_spoken_to(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    noting, target = start(authority.issue_cert("127.0.0.1"))
    in_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(in_file))
    for ca in (in_file, str(in_file), authority.cert_pem.bytes(), authority.cert_pem.bytes().decode()):
        with Client(target, tls=TlsOptions(ca=ca)) as client, pytest.raises(UnimplementedError):
            client.count("docs")
    assert len(noting.calls) == 4


@pytest.mark.parametrize("wrong", [{}, {"ca": "ca.pem"}, "ca.pem", "", None])
def test_what_is_no_way_to_speak_tls_is_not_taken_for_one(wrong: Any) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidArgumentError, match=r"^tls: expected True, False or TlsOptions, got "):
            kind("localhost:1", tls=wrong)


@pytest.mark.parametrize(
    ("kind", "reason", "hint"),
    [
        ("other-ca", "TLS_UNTRUSTED", "is `ca` the certificate"),
        ("public-cas", "TLS_UNTRUSTED", "is not trusted"),
        ("other-name", "TLS_NAME", "`server_name`"),
    ],
)
def test_a_handshake_that_cannot_succeed_says_why_and_what_to_do(
    start: Start, authority: trustme.CA, other_authority: trustme.CA, kind: str, reason: str, hint: str
) -> None:
    options: dict[str, bool | TlsOptions] = {
        "other-ca": trusting(other_authority),
        "public-cas": True,
        "other-name": trusting(authority, server_name="elsewhere.org"),
    }
    noting, target = start(authority.issue_cert("127.0.0.1"))
    with Client(target, tls=options[kind]) as client:
        for call in (lambda: client.count("docs"), lambda: client.delete("docs", all=True), client.wait_ready):
            with pytest.raises(TlsError, match=hint) as raised:
                call()
            assert raised.value.reason == reason
            assert raised.value.message.startswith(f"{target}: ")
    assert noting.calls == []


def test_a_key_that_belongs_to_another_certificate_is_refused_at_once(authority: trustme.CA, tmp_path: Path) -> None:
    own, another = (authority.issue_cert("a@example.org") for _ in range(2))
    key = tmp_path / "key.pem"
    another.private_key_pem.write_to_path(str(key))
    for given in (key, another.private_key_pem.bytes()):
        with pytest.raises(InvalidArgumentError, match=r"tls\.key: .* the key belongs to another certificate"):
            Client(tls=trusting(authority, certificate=chain_of(own), key=given))
    Client(tls=trusting(authority, certificate=chain_of(own), key=own.private_key_pem.bytes())).close()


def test_a_certificate_that_has_expired_is_told_as_such(start: Start, authority: trustme.CA) -> None:
    expired = authority.issue_cert(
        "127.0.0.1", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
    )
    _, target = start(expired)
    with Client(target, tls=trusting(authority)) as client, pytest.raises(TlsError, match="has expired; renew it"):
        client.count("docs")


def test_a_server_that_asks_for_a_certificate_gets_it(
    start: Start, with_certificate: Certified, authority: trustme.CA, other_authority: trustme.CA
) -> None:
    noting, target = start(authority.issue_cert("127.0.0.1"), asks=True)
    with Client(target, tls=with_certificate(authority)) as client, pytest.raises(UnimplementedError):
        client.count("docs")
    assert len(noting.calls) == 1
    for options in (trusting(authority), with_certificate(other_authority)):
        with Client(target, tls=options) as client, pytest.raises(UnavailableError, match="asks for a client's cert"):
            client.count("docs")
    assert len(noting.calls) == 1


def test_tls_to_a_plain_port_and_plain_text_to_a_tls_port_are_told(start: Start, authority: trustme.CA) -> None:
    _, plain = start()
    with Client(plain, tls=trusting(authority)) as client, pytest.raises(TlsError, match="no TLS is spoken there"):
        client.count("docs")
    _, encrypted = start(authority.issue_cert("127.0.0.1"))
    with Client(encrypted) as client:
        with pytest.raises(UnavailableError, match="if TLS is spoken there, connect with TLS"):
            client.count("docs")
        with pytest.raises(DeadlineExceededError, match="if TLS is spoken there, connect with TLS"):
            client.wait_ready(timeout=0.5)


def test_a_server_is_found_by_a_name_that_is_not_the_targets(start: Start, authority: trustme.CA) -> None:
    _, target = start(authority.issue_cert("vecgate.internal"))
    options = trusting(authority, server_name="vecgate.internal")
    with Client(f"ipv4:{target}", tls=options) as client, pytest.raises(UnimplementedError):
        client.count("docs")


async def test_the_asynchronous_client_speaks_tls_too(
    start: Start, with_certificate: Certified, authority: trustme.CA, other_authority: trustme.CA
) -> None:
    noting, target = start(authority.issue_cert("127.0.0.1"), asks=True)
    async with AsyncClient(target, tls=with_certificate(authority)) as client:
        with pytest.raises(UnimplementedError):
            await client.count("docs")
    assert len(noting.calls) == 1
    async with AsyncClient(target, tls=trusting(other_authority)) as client:
        with pytest.raises(TlsError, match="is not trusted"):
            await client.wait_ready()


SECRET_PEM = "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (TlsOptions(certificate=b"-----BEGIN CERTIFICATE-----"), r"tls\.key: missing"),
        (TlsOptions(key=SECRET_PEM), r"tls\.certificate: missing"),
        (TlsOptions(ca="MIIsecret-in-the-wrong-place"), r"tls\.ca: the file cannot be read: No such file"),
        (TlsOptions(ca="MIIsecret\0"), r"tls\.ca: the file cannot be read"),
        (TlsOptions(ca=SECRET_PEM), r"tls\.ca: no certificate"),
        (TlsOptions(ca="-----BEGIN CERTIFICATE-----\nMIIsecret"), r"tls\.ca: a certificate in it is damaged"),
        (
            TlsOptions(certificate=b"-----BEGIN CERTIFICATE-----", key=SECRET_PEM),
            r"tls\.key: the certificate or the key",
        ),
        (TlsOptions(certificate=b"-----BEGIN CERTIFICATE-----", key=b"MIIsecret"), r"tls\.key: no private key"),
        (
            TlsOptions(
                certificate=b"-----BEGIN CERTIFICATE-----", key="-----BEGIN ENCRYPTED PRIVATE KEY-----MIIsecret"
            ),
            r"tls\.key: protected by a passphrase",
        ),
        (TlsOptions(ca=7), r"tls\.ca: expected a path or PEM, got int"),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
def test_files_that_cannot_be_used_are_refused_at_once_and_not_repeated(options: TlsOptions, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint) as refused:
        Client(tls=options)
    assert "MIIsecret" not in f"{refused.value!r} {refused.value} {refused.value.__context__} {refused.value.__cause__}"
    assert "MIIsecret" not in f"{options!r} {options}"
