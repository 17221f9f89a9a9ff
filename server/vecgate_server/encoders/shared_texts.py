"""Texts that are in flight more than once, so that one run of the model answers them all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.lanes import QueuedText

Call = TypeVar("Call", bound=Hashable)


class SharedTexts(Generic[Call]):
    """Which queued texts are copies of each other, by role and key; those without a key have no copies.

    Each copy waits in its own call's turn. The one whose turn comes first runs, and the others leave their lanes and follow it.
    A copy that comes while another runs follows at once. So a call that goes away takes nothing from the others.
    """

    def __init__(self) -> None:
        # Ordered sets: of one text there may be thousands of copies.
        self._waiting: dict[tuple[Role, bytes], dict[QueuedText[Call], None]] = {}
        self._followers: dict[tuple[Role, bytes], list[QueuedText[Call]]] = {}

    def follows(self, queued: QueuedText[Call], role: Role) -> bool:
        """Take in a text that came: True if a copy of it runs and answers it too, False if it has to be queued."""
        if queued.key is None:
            return False
        followers = self._followers.get((role, queued.key))
        if followers is not None:
            followers.append(queued)
            return True
        self._waiting.setdefault((role, queued.key), {})[queued] = None
        return False

    def forget(self, queued: QueuedText[Call], role: Role) -> None:
        """Leave out a text whose call is gone."""
        if queued.key is None:
            return
        waiting = self._waiting.get((role, queued.key))
        if waiting is not None:
            waiting.pop(queued, None)
            if not waiting:
                del self._waiting[role, queued.key]

    def begin(self, queued: QueuedText[Call], role: Role) -> Sequence[QueuedText[Call]]:
        """Note that a text's turn has come; return its waiting copies, which follow it from now on."""
        if queued.key is None:
            return ()
        copies = [copy for copy in self._waiting.pop((role, queued.key), {}) if copy is not queued]
        self._followers[role, queued.key] = copies
        return tuple(copies)

    def is_followed(self, queued: QueuedText[Call], role: Role) -> bool:
        """Whether a copy waits for the run of this text."""
        return queued.key is not None and bool(self._followers.get((role, queued.key)))

    def end(self, queued: QueuedText[Call], role: Role) -> Sequence[QueuedText[Call]]:
        """Note that a text's run is over; return the copies that followed it."""
        if queued.key is None:
            return ()
        return self._followers.pop((role, queued.key), [])
