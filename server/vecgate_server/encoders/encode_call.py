"""One call for vectors, from the queue to its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.lanes import QueuedText


@dataclass(frozen=True, slots=True)
class Vectors:
    """What came of the texts of a call, row i for text i.

    Attributes:
        vectors: float32, shape (n, dimension); NaN for texts that were left out.
        shared: bool, shape (n,): another call's run of the same text answered it.
        encode_ns: nanoseconds in which at least one of the texts was in a model.
    """

    vectors: NDArray[np.float32]
    shared: NDArray[np.bool_]
    encode_ns: int


@dataclass(eq=False, slots=True)
class EncodeCall:
    """A call under way; compared by identity."""

    answer: Vectors
    done: asyncio.Future[None]
    queued: list[QueuedText[EncodeCall]] = field(default_factory=list)
    missing: int = 0
    runs: int = 0
    running_since: int = 0
    encode_ns: int = 0

    def begin_run(self) -> None:
        """Note that some of its texts are in a model from now on."""
        if self.runs == 0:
            self.running_since = perf_counter_ns()
        self.runs += 1

    def end_run(self) -> None:
        """Note that a run with some of its texts is over."""
        self.runs -= 1
        if self.runs == 0:
            self.encode_ns += perf_counter_ns() - self.running_since

    def receive(self, row: int, vector: NDArray[np.float32], *, shared: bool) -> None:
        """Take the vector of one text; the call is done with the last one."""
        self.answer.vectors[row] = vector
        self.answer.shared[row] = shared
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """End the call with an error, unless it is done."""
        if not self.done.done():
            self.done.set_exception(error)
