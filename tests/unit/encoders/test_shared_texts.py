from __future__ import annotations

import numpy as np
from typing_extensions import override

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.lanes import QueuedText
from vecgate_server.encoders.shared_texts import SharedTexts
from vecgate_server.encoders.tokenized_text import TokenizedText


class UncomparedText(QueuedText[str]):
    """A queued text that must be found without being held against others one after another."""

    @override
    def __eq__(self, other: object) -> bool:
        raise AssertionError("copies were searched one by one")

    __hash__ = QueuedText.__hash__


def test_of_thousands_of_copies_one_is_forgotten_without_a_search_through_the_others() -> None:
    shared: SharedTexts[str] = SharedTexts()
    token = np.zeros(1, np.int32)
    copies = [UncomparedText("call", row, TokenizedText(token, token, 1), b"key") for row in range(1_000)]
    assert not any(shared.follows(copy, Role.QUERY) for copy in copies)
    shared.forget(copies[500], Role.QUERY)
    assert [copy.row for copy in shared.begin(copies[0], Role.QUERY)] == [*range(1, 500), *range(501, 1_000)]
