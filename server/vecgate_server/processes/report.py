"""What a server process tells its supervisor: one line, once it serves or knows that it cannot.

The other way go the settings, on standard input. The end of that input means: drain. So a server process also ends when its supervisor has died.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """How a start ended.

    Attributes:
        fault: why it cannot serve, in one sentence; "" if it serves.
        code: the exit code that belongs to the fault (exit_codes).
    """

    fault: str = ""
    code: int = 0

    def line(self) -> bytes:
        """Write it on one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Report:
        """Read what line() wrote."""
        return cls(**json.loads(line))
