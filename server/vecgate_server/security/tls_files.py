"""The PEM files of TLS, read together and checked together, before a handshake meets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from vecgate_backends.errors import ConfigurationError
from vecgate_server.config_security import TlsSettings

SERVED_CURVES = (ec.SECP256R1, ec.SECP384R1)
"""Those whose signatures gRPC's TLS library takes in a handshake; others it refuses to each client, in its own log."""


class TlsFilesError(ConfigurationError):
    """A file of TLS cannot be used; one sentence that names the setting and repeats nothing of the file."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the files hold, in bytes."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def read_tls_files(settings: TlsSettings) -> TlsFiles:
    """Read all of them.

    Raises:
        TlsFilesError: one cannot be read.
    """
    return TlsFiles(
        _content(settings.certificate, "certificate") or b"",
        _content(settings.key, "key") or b"",
        _content(settings.client_ca, "client_ca"),
    )


def check_tls_files(files: TlsFiles) -> datetime:
    """Check that a client can be served with them, and return when the certificate expires.

    Raises:
        TlsFilesError: one is damaged, expired or not valid yet, or the key is another certificate's, as it is while somebody replaces them one by one.
    """
    certificate = _certificates(files.certificate, "certificate")[0]
    key = _private_key(files.key)
    kind_and_format = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*kind_and_format) != certificate.public_key().public_bytes(*kind_and_format):
        raise TlsFilesError(
            "security.tls.key: belongs to another certificate; the server's own is the first one in security.tls.certificate"
        )
    if not (isinstance(key, rsa.RSAPrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and _served(key))):
        raise TlsFilesError("security.tls.key: gRPC serves keys of RSA and of ECDSA on P-256 or P-384 alone")
    begins, expires = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begins > datetime.now(UTC):
        raise TlsFilesError(
            f"security.tls.certificate: not valid before {begins.isoformat()}: clients refuse it until then; is the clock right?"
        )
    if expires <= datetime.now(UTC):
        raise TlsFilesError(f"security.tls.certificate: expired at {expires.isoformat()}; renew it")
    if files.client_ca is not None:
        _certificates(files.client_ca, "client_ca")
    return expires


def _content(path: Path | None, name: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as fault:
        raise TlsFilesError(f"security.tls.{name}: {path}: {fault.strerror or fault}") from None


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise TlsFilesError(f"security.tls.{name}: holds no certificate in PEM, or a damaged one") from None


def _private_key(pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise TlsFilesError(
            "security.tls.key: protected by a passphrase; openssl pkey -in KEY -out PLAIN takes it off"
        ) from None
    except ValueError:
        raise TlsFilesError("security.tls.key: holds no private key in PEM, or a damaged one") from None


def _served(key: ec.EllipticCurvePrivateKey) -> bool:
    return isinstance(key.curve, SERVED_CURVES)
