"""What a row answers, apart from how it is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from benchmarks.statistics import Spread, Target, spread

Bench = TypeVar("Bench")
"""What the rows of one command are given."""


class RowSkippedError(Exception):
    """A row cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity, one value a round."""

    label: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """The rounds summed up."""
        return spread(self.rounds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure that something is asked of."""

    figure: Figure
    target: Target


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of a row, what is asked of some of them, and words that belong beside them.

    `markdown` is a table that a page of docs/ carries, line by line.
    """

    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    markdown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row(Generic[Bench]):
    """One measurement: `name` chooses it on the command line; `by_name_only`: it takes too long to run unasked."""

    name: str
    title: str
    measure: Callable[[Bench], Measured]
    by_name_only: bool = False


def figure(label: str, unit: str, rounds: Sequence[float]) -> Figure:
    """Make a figure from its rounds."""
    return Figure(label, unit, tuple(float(value) for value in rounds))


def milliseconds(label: str, rounds: Sequence[float]) -> Figure:
    """Make a figure in milliseconds from seconds."""
    return figure(label, "ms", [1000 * seconds for seconds in rounds])


def at_least(label: str, unit: str, rounds: Sequence[float], limit: float, aim: float | None = None) -> Verdict:
    """Ask of a figure that it is no smaller."""
    return Verdict(figure(label, unit, rounds), Target(limit, aim))


def at_most(label: str, unit: str, rounds: Sequence[float], limit: float, aim: float | None = None) -> Verdict:
    """Ask of a figure that it is no larger."""
    return Verdict(figure(label, unit, rounds), Target(limit, aim, less_is_better=True))
