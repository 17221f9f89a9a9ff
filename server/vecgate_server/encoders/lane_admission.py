"""Which calls a model takes: none past the bound of its queue, none that would be answered too late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vecgate_server.deadline import seconds_to_answer
from vecgate_server.encoders.base import Role
from vecgate_server.encoders.schedule import Schedule
from vecgate_server.errors import EncoderBusyError

ESTIMATED_CHARACTERS_A_TOKEN = 4
"""Word pieces of prose have 4 to 5 characters; the estimate stands until the tokens are counted."""


class LaneAdmission:
    """Counts what waits in each role's lane, texts that are not tokenized yet included, and refuses what does not fit beside it.

    A call that finds its lane empty is always taken, however large or late: a retry could not help it.

    Attributes:
        refused_calls: so far.
    """

    def __init__(self, schedule: Schedule, *, model: str, max_tokens: int, queue_tokens: int) -> None:
        """Begin with nothing that waits.

        Args:
            schedule: runs what is taken.
            model: its name, for messages.
            max_tokens: what the model reads of a text.
            queue_tokens: most tokens that may wait in each lane.
        """
        self._schedule = schedule
        self._model = model
        self._max_tokens = max_tokens
        self._queue_tokens = queue_tokens
        self._estimated_tokens = dict.fromkeys(Role, 0)
        self.refused_calls = 0

    def waiting_tokens(self, role: Role) -> int:
        """Count the tokens that wait; of texts that are not tokenized yet, an estimate."""
        return self._schedule.waiting_tokens(role) + self._estimated_tokens[role]

    def estimate(self, lengths: Sequence[int]) -> int:
        """Guess the tokens of texts of these lengths in characters, as far as the model reads them."""
        return sum(min(self._max_tokens, 2 + length // ESTIMATED_CHARACTERS_A_TOKEN) for length in lengths)

    @contextmanager
    def reserve(self, lengths: Sequence[int], role: Role, *, in_time: bool) -> Iterator[None]:
        """Hold room for texts of these lengths in characters while they are tokenized; see check()."""
        estimate = self.estimate(lengths)
        self.check(estimate, role, in_time=in_time)
        self._estimated_tokens[role] += estimate
        try:
            yield
        finally:
            self._estimated_tokens[role] -= estimate

    def check(self, tokens: int, role: Role, *, in_time: bool) -> None:
        """Take so many tokens more, before any work is spent on them.

        Args:
            tokens: of the call.
            role: of the call.
            in_time: also refuse a call that would be answered after its deadline. It would take the time of those that can still be
                served: of callers that ask for twice what a model can do, each would be served when its time is over.

        Raises:
            EncoderBusyError: they do not fit; it tells when to come back.
        """
        waiting = self.waiting_tokens(role)
        if not waiting:
            return
        if waiting + tokens > self._queue_tokens:
            self._refuse(waiting, role, f"which takes {self._queue_tokens}", waiting + tokens - self._queue_tokens)
        left = seconds_to_answer() if in_time else None
        needed = self._schedule.run_seconds_of(waiting + tokens, role)
        if left is not None and needed is not None and needed > left:
            too_late = f"about {needed:.2g} s of work, later than the call's deadline"
            self._refuse(waiting, role, too_late, round((waiting + tokens) * (1 - max(left, 0.0) / needed)))

    def _refuse(self, waiting: int, role: Role, why: str, tokens_before: int) -> None:
        self.refused_calls += 1
        raise EncoderBusyError(
            f"{waiting} tokens wait in the {role} queue of model {self._model}, {why}",
            retry_after=self._schedule.drain_seconds(tokens_before, role),
        )
