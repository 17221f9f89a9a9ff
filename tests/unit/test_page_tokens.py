"""Page tokens: opaque, and bound to their listing."""

from __future__ import annotations

import pytest

from vecgate_backends.errors import TokenInvalidError
from vecgate_server.service.page_tokens import listing_digest, page_cursor, page_token


def test_a_page_token_is_good_for_its_listing_only() -> None:
    mine, other = listing_digest("a", "", None), listing_digest("a", "b", None)
    token = page_token("cursor é", mine)
    assert page_cursor(token, mine) == "cursor é"
    assert page_cursor("", mine) is None
    assert page_token(None, mine) == ""
    for damaged in (token[:-3], token + "!"):
        with pytest.raises(TokenInvalidError):
            page_cursor(damaged, mine)
    with pytest.raises(TokenInvalidError, match="belongs to another"):
        page_cursor(token, other)
