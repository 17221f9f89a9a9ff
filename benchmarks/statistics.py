"""What is said of repeated measurements: percentiles, medians of rounds, ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a measurement's rounds, the smallest and the largest."""

    median: float
    lowest: float
    highest: float


def spread(rounds: Sequence[float]) -> Spread:
    """Sum up the rounds of a measurement; at least one."""
    return Spread(float(np.median(rounds)), min(rounds), max(rounds))


def percentile(values: Sequence[float], q: float) -> float:
    """Return the smallest value that at least q percent of the values do not exceed.

    It is one of the values, so a p99 of few values is their largest and never a number between two that were seen.
    """
    return float(np.percentile(values, q, method="inverted_cdf"))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide round by round, so that what slowed down a whole round falls out.

    Raises:
        ValueError: there are more rounds of one than of the other.
    """
    return [upper / lower for upper, lower in zip(numerators, denominators, strict=True)]


class Outcome(StrEnum):
    """How a value stands to what was asked of it."""

    AIM_REACHED = "aim reached"
    REACHED = "reached"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of a value: at least `limit`, better `aim`; at most them where `less_is_better`."""

    limit: float
    aim: float | None = None
    less_is_better: bool = False

    def judge(self, value: float) -> Outcome:
        """Compare a value with the limit and the aim; NaN misses both."""
        if not self._reaches(value, self.limit):
            return Outcome.MISSED
        return Outcome.AIM_REACHED if self.aim is not None and self._reaches(value, self.aim) else Outcome.REACHED

    def _reaches(self, value: float, mark: float) -> bool:
        return value <= mark if self.less_is_better else value >= mark
