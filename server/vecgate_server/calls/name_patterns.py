"""Sets of collections, by their names and by patterns of names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate

PATTERN_RULE = re.compile(r"[a-z0-9?*-]{1,45}")
"""What names of collections are made of, and * for any characters, ? for one."""
LONGEST_NAME = 45


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """Names and patterns; equal where they are written alike, in whatever order."""

    patterns: frozenset[str]
    _matching: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take patterns that PATTERN_RULE allows.

        Raises:
            ValueError: it does not allow one.
        """
        object.__setattr__(self, "patterns", frozenset(patterns))
        for pattern in sorted(self.patterns):
            if not PATTERN_RULE.fullmatch(pattern):
                raise ValueError(
                    f"{pattern!r} matches no collection; names have lower-case letters, digits, '-'; * is any"
                )
        # Its expressions take back nothing that a * matched: a name of whoever calls cannot keep them busy.
        object.__setattr__(self, "_matching", re.compile("|".join(map(translate, sorted(self.patterns)))))

    @property
    def all(self) -> bool:
        """Whether every name is among them."""
        return "*" in self.patterns

    def __contains__(self, name: str) -> bool:
        # A longer one is no name.
        return self.all or (len(name) <= LONGEST_NAME and self._matching.fullmatch(name) is not None)


ALL_NAMES = NamePatterns(["*"])
