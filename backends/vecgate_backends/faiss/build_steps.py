"""The steps of a build: between two of them it can be stopped, and others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vecgate_backends.faiss.turns import Turns, Work


class BuildStoppedError(Exception):
    """A build was given up because the backend closes."""


@dataclass(frozen=True, slots=True)
class BuildSteps:
    """Asked before each step of a build.

    Attributes:
        stopped: whether the build is to be given up.
        turns: which others may have before the step.
        work: what the steps are of.
    """

    stopped: Callable[[], bool]
    turns: Turns
    work: Work

    @contextmanager
    def next(self) -> Iterator[None]:
        """Wait for the turn of the next step, and hold it for the length of that.

        Raises:
            BuildStoppedError: `stopped` answered True.
        """
        self._go_on()
        with self.turns.turn(self.work):
            self._go_on()  # it may have waited
            yield

    def _go_on(self) -> None:
        if self.stopped():
            raise BuildStoppedError
