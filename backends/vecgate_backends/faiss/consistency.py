"""Consistency tokens: which collection a write went to, and the number of the commit that holds it."""

from __future__ import annotations

import base64
import binascii
import struct
import uuid
from dataclasses import dataclass

from vecgate_backends.errors import TokenInvalidError

_LAYOUT = struct.Struct(">16sQ")


@dataclass(frozen=True, slots=True)
class ConsistencyToken:
    """The commit with this number, counted from 1, of the collection with this uid (32 hex digits)."""

    uid: str
    sequence: int

    def encode(self) -> str:
        """Return the token as callers carry it: 32 characters of URL-safe base64."""
        packed = _LAYOUT.pack(uuid.UUID(self.uid).bytes, self.sequence)
        return base64.urlsafe_b64encode(packed).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> ConsistencyToken:
        """Read a token.

        Raises:
            TokenInvalidError: it is no token of this form.
        """
        try:
            uid, sequence = _LAYOUT.unpack(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
        except (UnicodeEncodeError, binascii.Error, struct.error) as malformed:
            raise TokenInvalidError("the consistency token is damaged") from malformed
        return cls(uuid.UUID(bytes=uid).hex, sequence)
