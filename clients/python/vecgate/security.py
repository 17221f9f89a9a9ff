"""TLS and API keys: what a connection proves, and to whom.

A private key or an API key never stands in a repr, an error or a log: what is refused here is told by the argument's name.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from vecgate.errors import InvalidArgumentError

PemSource: TypeAlias = str | bytes | os.PathLike[str]
"""A path of a PEM file, or the PEM text itself (bytes, or a string that begins with -----BEGIN)."""

PEM_START = "-----BEGIN"
CERTIFICATE_MARK = b"-----BEGIN CERTIFICATE-----"
KEY_MARK = re.compile(rb"-----BEGIN (?:\w+ )?PRIVATE KEY-----")
ENCRYPTED_KEY_MARKS = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")

API_KEY = re.compile(r"[\x21-\x7e]+")
"""What HTTP carries unchanged in one word: printable ASCII without spaces."""

LOCAL_SCHEMES = ("unix:", "unix-abstract:")
NAME_SCHEMES = ("dns:///", "dns:", "ipv4:", "ipv6:")
"""Prefixes of gRPC targets whose rest is host:port; a dns: with a server of its own (dns://8.8.8.8/…) is none."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How to speak TLS. Files are read once, when the client is made.

    Attributes:
        ca: certificates of the CAs to trust, PEM; None: the public CAs that gRPC brings along.
        certificate: the client's own certificate with its chain, PEM, for a server that asks for one (mTLS).
        key: the private key of `certificate`, PEM without a passphrase.
        server_name: the name that the server's certificate is for, where it is not the target's; needed where the target
            lists addresses (ipv4:…).
    """

    ca: PemSource | None = None
    certificate: PemSource | None = None
    key: PemSource | None = field(default=None, repr=False)
    server_name: str | None = None

    def __repr__(self) -> str:
        """Return which parts are given, never what they hold."""
        given = [name.name for name in fields(self) if getattr(self, name.name) is not None]
        return f"TlsOptions({', '.join(f'{name}=…' for name in given)})"


@dataclass(frozen=True, slots=True, repr=False)
class ChannelSecurity:
    """What a channel is opened with.

    Attributes:
        credentials: of TLS; None: plain text.
        options: further options of the channel.
        metadata: what every call carries.
    """

    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, Any], ...]
    metadata: tuple[tuple[str, str], ...]


def channel_security(
    target: str, tls: bool | TlsOptions, api_key: str | None, *, allow_plaintext_api_key: bool
) -> ChannelSecurity:
    """Check what a client was told about TLS and its key, and read the files.

    Raises:
        InvalidArgumentError: `tls` is something else, a file that cannot be used, a certificate without its key, an API key that no header can
            carry or that would cross a network unencrypted.
    """
    if not isinstance(tls, bool | TlsOptions):
        raise InvalidArgumentError.at(
            "tls", f"expected True, False or TlsOptions, got {type(tls).__name__}; TlsOptions(ca=…) names files"
        )
    options = tls if isinstance(tls, TlsOptions) else TlsOptions() if tls else None
    local = is_loopback(target)
    if api_key is not None:
        _check_api_key(api_key)
        if options is None and not (local or allow_plaintext_api_key):
            raise InvalidArgumentError.at(
                "api_key",
                f"{target} is reached in plain text, where anybody on the way could read the key; use TLS, or "
                "allow_plaintext_api_key if something else protects the way",
            )
    return ChannelSecurity(
        credentials=None if options is None else _credentials(options),
        options=(
            *((("grpc.enable_http_proxy", 0),) if local else ()),  # a proxy would have a loopback of its own
            *((("grpc.ssl_target_name_override", options.server_name),) if options and options.server_name else ()),
        ),
        metadata=() if api_key is None else (("authorization", f"Bearer {api_key}"),),
    )


def is_loopback(target: str) -> bool:
    """Whether every address of a gRPC target lies on this machine."""
    if target.startswith(LOCAL_SCHEMES):
        return True
    rest = next((target.removeprefix(scheme) for scheme in NAME_SCHEMES if target.startswith(scheme)), target)
    return all(_is_loopback_host(_host(address)) for address in rest.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_loopback_host(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_api_key(api_key: object) -> None:
    if not isinstance(api_key, str):
        raise InvalidArgumentError.at("api_key", f"expected a string, got {type(api_key).__name__}")
    if not API_KEY.fullmatch(api_key):
        raise InvalidArgumentError.at(
            "api_key",
            "empty, or with characters that no header carries; was it read from a file, with its line end?",
        )


def _credentials(options: TlsOptions) -> grpc.ChannelCredentials:
    if (options.certificate is None) != (options.key is None):
        missing = "key" if options.key is None else "certificate"
        raise InvalidArgumentError.at(f"tls.{missing}", "missing; a client's certificate and its key go together")
    authorities = _certificate(options.ca, "tls.ca")
    certificate, key = _certificate(options.certificate, "tls.certificate"), _private_key(options.key)
    _check_usable(authorities, certificate, key)
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def _check_usable(authorities: bytes | None, certificate: bytes | None, key: bytes | None) -> None:
    """Let Python's own TLS read what gRPC would refuse at the first call, in a log of its own, and up to 1.75 by silence.

    Raises:
        InvalidArgumentError: a certificate or a key is damaged, or the key is another certificate's.
    """
    import ssl  # noqa: PLC0415  # takes a moment that only TLS needs

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if authorities is not None:
            context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError):
        raise InvalidArgumentError.at("tls.ca", "a certificate in it is damaged") from None
    if certificate is None or key is None or not hasattr(os, "memfd_create"):
        return
    try:
        # OpenSSL reads a pair from files alone; this one is never on a disk.
        with open(os.memfd_create("tls"), "wb") as pair:  # noqa: PTH123  # a descriptor, no path
            pair.write(key + b"\n" + certificate)
            pair.flush()
            context.load_cert_chain(f"/proc/self/fd/{pair.fileno()}", password=str)
    except (ssl.SSLError, ValueError):
        raise InvalidArgumentError.at(
            "tls.key", "the certificate or the key is damaged, or the key belongs to another certificate"
        ) from None


def _certificate(source: PemSource | None, argument: str) -> bytes | None:
    pem = _pem(source, argument)
    if pem is not None and CERTIFICATE_MARK not in pem:
        raise InvalidArgumentError.at(argument, f"no certificate in PEM ({CERTIFICATE_MARK.decode()}) is in it")
    return pem


def _private_key(source: PemSource | None) -> bytes | None:
    pem = _pem(source, "tls.key")
    if pem is None:
        return None
    if any(mark in pem for mark in ENCRYPTED_KEY_MARKS):
        raise InvalidArgumentError.at(
            "tls.key", "protected by a passphrase; openssl pkey -in KEY -out PLAIN takes it off"
        )
    if not KEY_MARK.search(pem):
        raise InvalidArgumentError.at("tls.key", "no private key in PEM is in it")
    return pem


def _pem(source: PemSource | None, argument: str) -> bytes | None:
    """Return the PEM text of a source. Errors do not repeat the source: it may be a key put in the wrong place."""
    match source:
        case None | bytes():
            return source
        case str() if source.lstrip().startswith(PEM_START):
            return source.encode()
        case str() | os.PathLike():
            pass
        case _:
            raise InvalidArgumentError.at(argument, f"expected a path or PEM, got {type(source).__name__}")
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "no path"
    raise InvalidArgumentError.at(argument, f"the file cannot be read: {why}")
