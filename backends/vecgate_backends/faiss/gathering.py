"""Searches that arrive together run as one: what they need beside the walk itself costs little more for many than for one.

Nobody waits for a timer. What a step of the event loop brings is gathered and runs in the next step; while as many runs are under way on
other threads as there are threads, what arrives meanwhile is gathered behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.search import Plan, Ranking
from vecgate_backends.faiss.segment_index import Breadth
from vecgate_backends.filters import Filter
from vecgate_backends.records import FloatMatrix

MOST_QUERIES = 64
"""Queries of one run; more only make the first wait for the last."""


@dataclass(frozen=True, slots=True)
class Question:
    """What searches have in common that can run together.

    Attributes:
        breadth: None: exactly.
        filter, filter_text: the filter and its repr(), which tells apart what Python takes for equal.
    """

    partition: Partition
    top_k: int
    breadth: Breadth | None
    filter: Filter | None = field(default=None, compare=False)
    filter_text: str = ""


class Ranked(NamedTuple):
    """How a search was done, and what it found."""

    plan: Plan
    ranking: Ranking


Outcome: TypeAlias = tuple[Plan, list[Ranking]]
Run: TypeAlias = Callable[[Question, FloatMatrix], Outcome | Awaitable[Outcome]]
"""Searches for many queries, shape (n, dimension): at once where that is short, else elsewhere."""


@dataclass(slots=True)
class _Gathered:
    """Queries, each of shape (dimension,), and who waits for them."""

    queries: list[FloatMatrix] = field(default_factory=list)
    answers: list[asyncio.Future[Ranked]] = field(default_factory=list)


class SearchGathering:
    """Gathers single searches of one collection; used on the event loop."""

    def __init__(self, run: Run, *, concurrent_runs: int) -> None:
        self._run = run
        self._free = concurrent_runs
        self._waiting: dict[Question, _Gathered] = {}
        self._due = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question, query: FloatMatrix) -> Ranked:
        """Search for one query, shape (1, dimension), in index form."""
        gathered = self._waiting.setdefault(question, _Gathered())
        answer: asyncio.Future[Ranked] = asyncio.get_running_loop().create_future()
        gathered.queries.append(query)
        gathered.answers.append(answer)
        self._schedule()
        return await answer

    def _schedule(self) -> None:
        if not self._due and self._free and self._waiting:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Run what was gathered first."""
        self._due = False
        question, gathered = next(iter(self._waiting.items()))
        if len(gathered.queries) <= MOST_QUERIES:
            del self._waiting[question]
        else:
            first = _Gathered(gathered.queries[:MOST_QUERIES], gathered.answers[:MOST_QUERIES])
            self._waiting[question] = _Gathered(gathered.queries[MOST_QUERIES:], gathered.answers[MOST_QUERIES:])
            gathered = first
        self._settle(question, gathered)
        self._schedule()

    def _settle(self, question: Question, gathered: _Gathered) -> None:
        """Run for those who still wait."""
        waiting = [pair for pair in zip(gathered.queries, gathered.answers, strict=True) if not pair[1].done()]
        if not waiting:
            return
        answers = [answer for _, answer in waiting]
        try:
            outcome = self._run(question, np.concatenate([query for query, _ in waiting]))
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to those who wait
            _fail(answers, error)
            return
        if isinstance(outcome, tuple):
            _answer(answers, outcome)
            return
        self._free -= 1
        task = asyncio.create_task(self._await(outcome, answers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(self, outcome: Awaitable[Outcome], answers: Sequence[asyncio.Future[Ranked]]) -> None:
        try:
            _answer(answers, await outcome)
        except Exception as error:  # noqa: BLE001  # as above
            _fail(answers, error)
        finally:
            self._free += 1
            self._schedule()


def _answer(answers: Sequence[asyncio.Future[Ranked]], outcome: Outcome) -> None:
    plan, rankings = outcome
    for answer, ranking in zip(answers, rankings, strict=True):
        if not answer.done():
            answer.set_result(Ranked(plan, ranking))


def _fail(answers: Sequence[asyncio.Future[Ranked]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
