"""Connections that cannot be made because the two sides do not agree on TLS: what is wrong, in one sentence.

gRPC tells only in the text of UNAVAILABLE why a handshake failed, so this is the one place that reads such texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

NOT_CONNECTED = re.compile(r"failed to connect to all addresses|connections to all backends failing")
"""How gRPC begins where no call was sent at all."""


@dataclass(frozen=True, slots=True)
class HandshakeFault:
    """Why a connection cannot be made: a machine word and a sentence with a hint."""

    reason: str
    sentence: str


def _untrusted(found: re.Match[str]) -> str:
    why = found["why"].strip()
    if "expired" in why:
        return "the server's certificate has expired; renew it, or set the clock of this machine"
    return f"the server's certificate is not trusted ({why}); is `ca` the certificate of the CA that signed it?"


FAULTS: tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"CERTIFICATE_VERIFY_FAILED(?:: (?P<why>[^:]*))?"), "TLS_UNTRUSTED", _untrusted),
    (
        re.compile(r"Hostname Verification Check failed|is not in peer certificate"),
        "TLS_NAME",
        lambda _: "the server's certificate is for another name; connect by that name, or give it as `server_name`",
    ),
    (
        re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST"),
        "TLS_NOT_SPOKEN",
        lambda _: "no TLS is spoken there; connect without TLS, or to the server's TLS port",
    ),
    (
        re.compile(r"Failed to create security handshaker"),
        "TLS_UNUSABLE",
        lambda _: "the certificates or the key are damaged, or the key does not belong to the certificate",
    ),
    (
        re.compile(r"CERTIFICATE_REQUIRED|certificate required|BAD_CERTIFICATE|UNKNOWN_CA|unknown ca"),
        "TLS_REFUSED",
        lambda _: "the server refused this client's certificate, or asks for one; give `certificate` and `key`",
    ),
)
"""What gRPC's text tells of a handshake → reason → sentence."""

DROPPED = re.compile(r"Socket closed|[Cc]onnection reset|Broken pipe|Connection closed")
"""The other side hung up in the middle of the handshake, without a word."""

DROPPED_HINTS = {
    False: "if TLS is spoken there, connect with TLS",
    True: "if the server asks for a client's certificate, give `certificate` and `key` of its CA",
}
"""By whether this side spoke TLS: what such a hang-up may mean. It may also be a proxy whose server is away."""


def handshake_fault(details: str, *, encrypted: bool) -> HandshakeFault | None:
    """Name what is wrong with TLS, or return None if nothing in the text of UNAVAILABLE says so for certain.

    Args:
        details: the text.
        encrypted: this side speaks TLS.
    """
    if not encrypted or not NOT_CONNECTED.match(details):
        return None
    for pattern, reason, sentence in FAULTS:
        if found := pattern.search(details):
            return HandshakeFault(reason, sentence(found))
    return None


def hang_up_hint(details: str, *, encrypted: bool) -> str:
    """Return what a connection that was hung up before it stood may mean; "" for any other failure."""
    return DROPPED_HINTS[encrypted] if NOT_CONNECTED.match(details) and DROPPED.search(details) else ""
