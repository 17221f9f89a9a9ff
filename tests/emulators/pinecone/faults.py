"""Faults that an emulator has when told to: errors, storms of them, silence, lost connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fault:
    """What happens to requests whose path ends so.

    Attributes:
        path: the end of the path; "" is every request's.
        status: the answer; 0: none comes, see `hang`.
        times: how many requests it happens to; -1: all.
        skip: how many pass before it begins.
        after_effect: the request has its effect before it fails.
        hang: nothing is answered until the emulator stops; otherwise, with status 0, the connection is closed.
    """

    path: str
    status: int = 503
    times: int = -1
    skip: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    after_effect: bool = False
    hang: bool = False

    def strikes(self, path: str) -> bool:
        """Whether it happens to this request; counts it."""
        if not path.endswith(self.path) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times > 0:
            self.times -= 1
        return True
