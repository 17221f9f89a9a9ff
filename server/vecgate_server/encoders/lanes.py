"""The order of work: which texts go to the model together, and when."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.tokenized_text import TokenizedText

Call = TypeVar("Call", bound=Hashable)

# A query is interactive and a document is bulk.
PRIORITY = (Role.QUERY, Role.DOCUMENT)
PADDING_TOKENS = 24
"""Most padding of a micro-batch: a run of its own costs a text about as much as so many tokens, as measured."""


@dataclass(eq=False, slots=True)
class QueuedText(Generic[Call]):
    """A text, the call it belongs to, and its row in the call's answer; compared by identity.

    Attributes:
        key: equal for equal texts of a role, so that a vector of one is a vector of the other; None: nothing is known of others.
        left: it has left its lane.
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
    """Queued texts in two lanes, one a role; knows nothing of threads and clocks."""

    def __init__(self, *, micro_batch_tokens: int) -> None:
        """Set the budget of a micro-batch: its rows times its longest text, except that one text always goes."""
        self._lanes: dict[Role, _Lane[Call]] = {role: _Lane(micro_batch_tokens) for role in PRIORITY}

    def tokens(self, role: Role) -> int:
        """Count the tokens queued in a role's lane."""
        return self._lanes[role].tokens

    def put(self, call: Call, role: Role, texts: Sequence[QueuedText[Call]]) -> None:
        """Queue texts of a call behind the calls that are there."""
        self._lanes[role].put(call, texts)

    def drop(self, call: Call) -> None:
        """Forget what is still queued of a call."""
        for lane in self._lanes.values():
            lane.drop(call)

    def leave(self, queued: QueuedText[Call], role: Role) -> None:
        """Take out one text that is queued in a role's lane."""
        self._lanes[role].leave(queued)

    def take(self, roles: Sequence[Role] = PRIORITY) -> MicroBatch[Call] | None:
        """Take the next micro-batch of the first of some roles that has one; None when nothing is queued there."""
        for role in roles:
            taken = self._lanes[role].take()
            if taken:
                return MicroBatch(role, taken)
        return None


@dataclass(eq=False, slots=True)
class _CallQueue(Generic[Call]):
    """A call's texts, longest first; those that left are passed over. And the tokens that it has had of its turn."""

    texts: deque[QueuedText[Call]]
    turn_tokens: int = 0


class _Lane(Generic[Call]):
    """The queued texts of one role.

    Its calls take turns. A turn is the tokens of one micro-batch, so a small call waits for so much of each call before it and
    not for their ends. A call's longest texts leave first, together with what has nearly their length, so that little is
    padded. What is left of the budget goes to texts of that length of the other calls, one of each call in turn; that is
    taken off their own turns.
    """

    def __init__(self, micro_batch_tokens: int) -> None:
        self._budget = micro_batch_tokens
        self._calls: OrderedDict[Call, _CallQueue[Call]] = OrderedDict()
        # All texts by length and call, in the order in which they came, and the lengths that there are in order.
        self._of_length: dict[int, dict[Call, dict[QueuedText[Call], None]]] = {}
        self._lengths: list[int] = []
        self.tokens = 0

    def put(self, call: Call, texts: Sequence[QueuedText[Call]]) -> None:
        if not texts:
            return
        self._calls[call] = _CallQueue(deque(sorted(texts, key=_width, reverse=True)))
        for queued in texts:
            width = _width(queued)
            if width not in self._of_length:
                self._of_length[width] = {}
                insort(self._lengths, width)
            self._of_length[width].setdefault(call, {})[queued] = None
            self.tokens += len(queued.text)

    def drop(self, call: Call) -> None:
        queue = self._calls.pop(call, None)
        for queued in queue.texts if queue else ():
            if not queued.left:
                self.leave(queued)

    def leave(self, queued: QueuedText[Call]) -> None:
        queued.left = True
        self.tokens -= len(queued.text)
        width = _width(queued)
        calls = self._of_length[width]
        del calls[queued.call][queued]
        if not calls[queued.call]:
            del calls[queued.call]
        if not calls:
            del self._of_length[width]
            del self._lengths[bisect_left(self._lengths, width)]

    def take(self) -> list[QueuedText[Call]]:
        """Take the next micro-batch; empty when nothing is queued."""
        while self._calls:
            call, queue = next(iter(self._calls.items()))
            while queue.texts and queue.texts[0].left:
                queue.texts.popleft()
            if not queue.texts:
                del self._calls[call]
            elif queue.turn_tokens and queue.turn_tokens + len(queue.texts[0].text) > self._budget:
                queue.turn_tokens = max(0, queue.turn_tokens - self._budget)
                self._calls.move_to_end(call)
            else:
                taken = self._beside(queue.texts)
                for queued in taken:
                    self.leave(queued)
                    self._calls[queued.call].turn_tokens += len(queued.text)
                return taken
        return []

    def _beside(self, texts: Sequence[QueuedText[Call]]) -> list[QueuedText[Call]]:
        """Choose a call's longest text and what may run with it: of its own first, then of its length, longer, shorter."""
        width = _width(texts[0])
        batch: dict[QueuedText[Call], None] = {texts[0]: None}
        padding = 0
        for queued in islice(texts, 1, None):
            if queued.left:
                continue
            padded = padding + width - _width(queued)
            if padded > PADDING_TOKENS or self._room(width, batch) < 1:
                break
            batch[queued], padding = None, padded
        position = bisect_left(self._lengths, width)
        for longer in islice(self._lengths, position, None):
            padded = padding + (longer - width) * len(batch)
            if padded > PADDING_TOKENS or self._room(longer, batch) < 1:
                break
            others = list(islice(self._others(longer, batch), self._room(longer, batch)))
            if others:
                width, padding = longer, padded
                batch |= dict.fromkeys(others)
        for shorter in reversed(self._lengths[:position]):
            room = min(self._room(width, batch), (PADDING_TOKENS - padding) // (width - shorter))
            if room < 1:
                break
            others = list(islice(self._others(shorter, batch), room))
            padding += (width - shorter) * len(others)
            batch |= dict.fromkeys(others)
        return list(batch)

    def _room(self, width: int, batch: dict[QueuedText[Call], None]) -> int:
        """Count the texts that still fit into the budget if the longest has this width."""
        return self._budget // width - len(batch)

    def _others(self, width: int, batch: dict[QueuedText[Call], None]) -> Iterator[QueuedText[Call]]:
        """Yield texts of a length that may join: the first of each call that has not had its turn's tokens, then the second."""
        left = []
        for call, texts in self._of_length[width].items():
            if self._calls[call].turn_tokens < self._budget:
                candidates = (queued for queued in texts if queued not in batch)
                yield from islice(candidates, 1)
                left.append(candidates)
        while left:
            firsts = [(candidates, next(candidates, None)) for candidates in left]
            yield from (queued for _, queued in firsts if queued is not None)
            left = [candidates for candidates, queued in firsts if queued is not None]


def _width(queued: QueuedText[Call]) -> int:
    """Return the columns that a text takes; of an empty one, runtimes want one."""
    return max(1, len(queued.text))
