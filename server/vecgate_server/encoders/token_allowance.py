"""How many tokens whoever makes the call at hand may have models read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class TokenAllowance(Protocol):
    """What is left to one caller."""

    def admit(self, tokens: int) -> None:
        """Take about so many tokens for texts that are to be tokenized now.

        Raises:
            KeyTokensExceededError: the caller is in debt; retry_after says until when.
        """

    def charge(self, tokens: int) -> None:
        """Take so many more, now that they are counted; fewer than 0 are given back."""


token_allowance: ContextVar[TokenAllowance | None] = ContextVar("token_allowance", default=None)
"""Of the call that is being answered; None: no limit."""


@contextmanager
def charged(estimate: int) -> Iterator[Callable[[int], None]]:
    """Charge the caller for texts: an estimate at once, so that what is tokenized side by side is not all let in, then what was counted.

    The block is given what takes the count; without one nothing was read, and nothing is charged.

    Raises:
        KeyTokensExceededError: the caller is in debt.
    """
    allowance = token_allowance.get()
    if allowance is None or not estimate:
        yield lambda _: None
        return
    counted: list[int] = []
    allowance.admit(estimate)
    try:
        yield counted.append
    finally:
        allowance.charge(sum(counted) - estimate)
