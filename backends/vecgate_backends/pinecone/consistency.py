"""Consistency tokens: which write a read must see, and how it can tell.

Pinecone numbers the writes of a namespace (LSN). Queries report up to which number they see; fetches and listings report
nothing, so for them a token also names a witness, one record of the write: once a query that has come far enough and a fetch agree on it, the
fetch has come as far.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from vecgate_backends.errors import TokenInvalidError

_CHECK_BYTES = 6


@dataclass(frozen=True, slots=True)
class ConsistencyToken:
    """A write.

    Attributes:
        identity: of the collection. namespace: Pinecone's name of it.
        lsn: the number of the write; 0 if Pinecone told none, as for deletes.
        witness: Pinecone's id of a record that was written, or deleted; "" if the write changed nothing.
        write: what the witness's `write` shows once the write is seen; 0: the witness is gone.
    """

    identity: str
    namespace: str
    lsn: int = 0
    witness: str = ""
    write: int = 0

    def encode(self) -> str:
        """Return the token as callers carry it: URL-safe base64."""
        packed = json.dumps(list(asdict(self).values()), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(_check(packed) + packed).decode("ascii")

    @classmethod
    def decode(cls, text: str, identity: str) -> ConsistencyToken:
        """Read a token of the collection with this identity.

        Raises:
            TokenInvalidError: it is damaged, or of another collection.
        """
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as malformed:
            raise TokenInvalidError("the consistency token is damaged") from malformed
        check, packed = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if not packed or check != _check(packed):
            raise TokenInvalidError("the consistency token is damaged")
        parts: list[Any] = json.loads(packed)
        token = cls(*parts)
        if token.identity != identity:
            raise TokenInvalidError("the consistency token is of another collection")
        return token


def _check(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest()[:_CHECK_BYTES]
