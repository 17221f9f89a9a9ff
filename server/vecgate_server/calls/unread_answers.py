"""Answers that were made and that their callers have not taken yet.

HTTP/2 lets a caller take an answer as slowly as it likes, or never, at no cost to itself; until then it lies in the server's memory. The
call has ended for everything else by then, so nothing else bounds them. gRPC has no way to give up an answer that nobody takes; it goes with
its connection.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, cast

from vecgate_server.calls.call import Context
from vecgate_server.errors import AnswersUnreadError

CALL_BYTES = 16_384
"""What a call itself takes beside its answer, about; an answer no larger than this counts as small."""
COPIES = 2
"""Of an answer that waits: the bytes that were written, and gRPC's own of them for the connection."""
CONNECTION_SHARE = 0.25
"""Of the bound, for one connection: who takes nothing keeps others from asking only with several."""
RETRY_SECONDS = 1.0
LARGE_ANSWERS = frozenset({"Encode", "FieldStats", "Get", "List", "Search", "SearchBatch"})
"""What answers with as much as is asked for, and has no effect: such a call may be refused when its answer is there."""


class UnreadAnswers:
    """Counts what has not been taken, and refuses large answers, and calls of those who take none, while it is too much."""

    def __init__(self, max_bytes: int) -> None:
        """Begin with none.

        Args:
            max_bytes: of memory that they may hold at once, and the largest answer more.
        """
        self._max_bytes = max_bytes
        self._of_peer: Counter[str] = Counter()
        self._bytes = 0

    def admit(self, peer: str) -> None:
        """Let a call of a connection begin.

        Raises:
            AnswersUnreadError: the connection has not taken too much already.
        """
        if self._of_peer and self._of_peer[peer] > CONNECTION_SHARE * self._max_bytes:
            raise self._too_much("this connection does not take", self._of_peer[peer])

    def send(self, context: Context, method: str, peer: str, size: int) -> None:
        """Note that an answer of `size` bytes is about to be sent.

        Raises:
            AnswersUnreadError: it is large, and too much beside what has not been taken.
        """
        held = COPIES * size + CALL_BYTES
        if size > CALL_BYTES and method in LARGE_ANSWERS and self._bytes and self._bytes + held > self._max_bytes:
            raise self._too_much("callers do not take", self._bytes)
        self._bytes += held
        self._of_peer[peer] += held
        context.add_done_callback(cast("Any", partial(self._taken, peer, held)))

    def _taken(self, peer: str, held: int, _: object) -> None:
        self._bytes -= held
        self._of_peer[peer] -= held
        if not self._of_peer[peer]:
            del self._of_peer[peer]

    def _too_much(self, whose: str, held: int) -> AnswersUnreadError:
        return AnswersUnreadError(
            f"answers that {whose} hold {held} bytes of memory; limits.max_unread_answer_bytes is {self._max_bytes}",
            retry_after=RETRY_SECONDS,
        )
