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
    with pytest.raises(TokenInvalidError, match="belongs to another"):
        page_cursor(token, other)


@pytest.mark.parametrize("length", range(1, 28))
def test_a_page_token_that_lost_its_end_is_refused(length: int) -> None:
    listing = listing_digest("a", "", None)
    token = page_token("cursor of r192", listing)
    with pytest.raises(TokenInvalidError):
        page_cursor(token[:length], listing)


def test_a_page_token_with_foreign_characters_is_refused() -> None:
    listing = listing_digest("a", "", None)
    for damaged in (page_token("cursor", listing) + "!", "é"):
        with pytest.raises(TokenInvalidError):
            page_cursor(damaged, listing)
