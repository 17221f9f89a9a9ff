"""Which searches have company: whether several callers ask the same at once, which the event loop cannot see.

It brings searches one by one, and while it runs one itself nobody can join. Only a run on another thread shows who else asks meanwhile, and costs whoever is
alone a way there and back. So those that stayed alone are left to the loop, and tried again now and then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

LONELY_RUNS = 2
"""Runs of one query, with nobody else asking meanwhile, after which a question is taken for one caller's."""
ASKED_ALONE = 16
"""How often it is then asked before that is tried again."""
KEPT = 4096
"""Questions of one caller that are remembered, some 200 bytes each; the one not asked for longest is forgotten first."""


class Company:
    """What was seen of each question lately."""

    def __init__(self) -> None:
        self._lonely: OrderedDict[Hashable, tuple[int, int]] = (
            OrderedDict()
        )  # runs of one query; times still to be asked alone

    def expected(self, question: Hashable) -> bool:
        """Tell whether to wait for others who ask this; counts as asking."""
        known = hash(question)
        runs, alone = self._lonely.get(known, (0, 0))
        if not alone:
            return True
        self._lonely[known] = runs, alone - 1
        self._lonely.move_to_end(known)
        return False

    def came(self, question: Hashable, queries: int) -> None:
        """Note, at the end of a run, how many queries ran together or came meanwhile."""
        known = hash(question)
        runs, _ = self._lonely.pop(known, (0, 0))
        if queries > 1:
            return
        self._lonely[known] = runs + 1, ASKED_ALONE if runs + 1 >= LONELY_RUNS else 0
        if len(self._lonely) > KEPT:
            self._lonely.popitem(last=False)
