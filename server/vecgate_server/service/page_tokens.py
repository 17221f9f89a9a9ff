"""Page tokens: opaque, whole or refused, and good only for the listing they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib

from vecgate_backends.errors import TokenInvalidError

_DIGEST_BYTES = 12


def listing_digest(*scope: object) -> bytes:
    """Identify a listing by everything that fixes its order and content, such as collection, namespace and filter."""
    return hashlib.sha256(repr(scope).encode()).digest()[:_DIGEST_BYTES]


def page_token(cursor: str | None, digest: bytes) -> str:
    """Write the token of the page that starts at a cursor; "" after the last page."""
    if cursor is None:
        return ""
    content = cursor.encode()
    return base64.urlsafe_b64encode(_seal(digest, content) + content).decode()


def page_cursor(token: str, digest: bytes) -> str | None:
    """Read the cursor of a token; None for the first page, whose token is "".

    Raises:
        TokenInvalidError: the token is damaged or of another listing.
    """
    if not token:
        return None
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        seal, cursor = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:].decode()
    except (binascii.Error, UnicodeDecodeError):
        raise TokenInvalidError.at("page_token", "is damaged") from None
    if seal != _seal(digest, cursor.encode()):
        raise TokenInvalidError.at("page_token", "is damaged or belongs to another collection, namespace or filter")
    return cursor


def _seal(digest: bytes, cursor: bytes) -> bytes:
    """Bind a cursor to its listing. A token that lost its end would otherwise be good for an earlier page."""
    return hashlib.sha256(digest + cursor).digest()[:_DIGEST_BYTES]
