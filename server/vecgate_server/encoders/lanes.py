"""The order of work: which texts go to the model together, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.tokenized_text import TokenizedText

Call = TypeVar("Call", bound=Hashable)

# A query is interactive and a document is bulk.
PRIORITY = (Role.QUERY, Role.DOCUMENT)


@dataclass(eq=False, slots=True)
class QueuedText(Generic[Call]):
    """A text, the call it belongs to, and its row in the call's answer; compared by identity.

    Attributes:
        key: equal for equal texts of a role, so that a vector of one is a vector of the other; None: nothing is known of others.
        left: it left its lane before its turn, because another text's run answers it too.
    """

    call: Call
    row: int
    text: TokenizedText
    key: bytes | None = None
    left: bool = False


@dataclass(frozen=True, slots=True)
class MicroBatch(Generic[Call]):
    """Texts of one role that go to the model together."""

    role: Role
    texts: Sequence[QueuedText[Call]]

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(len(queued.text) for queued in self.texts)


class Lanes(Generic[Call]):
    """Queued texts in two lanes, one a role; knows nothing of threads and clocks.

    Inside a lane the calls take turns by micro-batches, so a small call waits for one micro-batch of each call before
    it and not for their ends. A call's texts leave longest first, which keeps padding small; what is left of the budget
    goes to the next calls of the lane, so small calls share a micro-batch.
    """

    def __init__(self, *, micro_batch_tokens: int) -> None:
        """Set the budget of a micro-batch: its rows times its longest text, except that one text always goes."""
        self._budget = micro_batch_tokens
        self._lanes: dict[Role, deque[tuple[Call, deque[QueuedText[Call]]]]] = {role: deque() for role in PRIORITY}
        self._tokens = dict.fromkeys(PRIORITY, 0)

    def tokens(self, role: Role) -> int:
        """Count the tokens queued in a role's lane."""
        return self._tokens[role]

    def put(self, call: Call, role: Role, texts: Sequence[QueuedText[Call]]) -> None:
        """Queue texts of a call behind the calls that are there."""
        longest_first = deque(sorted(texts, key=lambda queued: len(queued.text), reverse=True))
        if longest_first:
            self._lanes[role].append((call, longest_first))
            self._tokens[role] += sum(len(queued.text) for queued in texts)

    def drop(self, call: Call) -> None:
        """Forget what is still queued of a call."""
        for role, lane in self._lanes.items():
            for entry in [entry for entry in lane if entry[0] == call]:
                lane.remove(entry)
                self._tokens[role] -= sum(len(queued.text) for queued in entry[1] if not queued.left)

    def leave(self, queued: QueuedText[Call], role: Role) -> None:
        """Take out one text that is queued in a role's lane."""
        queued.left = True
        self._tokens[role] -= len(queued.text)

    def take(self, roles: Sequence[Role] = PRIORITY) -> MicroBatch[Call] | None:
        """Take the next micro-batch of the first of some roles that has one; None when nothing is queued there."""
        for role in roles:
            taken = self._take_from(self._lanes[role])
            if taken:
                batch = MicroBatch(role, taken)
                self._tokens[role] -= batch.tokens
                return batch
        return None

    def _take_from(self, lane: deque[tuple[Call, deque[QueuedText[Call]]]]) -> list[QueuedText[Call]]:
        taken: list[QueuedText[Call]] = []
        longest = 0
        while lane:
            _, texts = lane[0]
            while texts:
                if texts[0].left:
                    texts.popleft()
                    continue
                width = max(longest, len(texts[0].text))
                if taken and (len(taken) + 1) * width > self._budget:
                    # The next micro-batch begins with another call.
                    lane.rotate(-1)
                    return taken
                taken.append(texts.popleft())
                longest = width
            lane.popleft()
        return taken
